import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { serveRpc } from '@millrace/bus';
import type { ReadFeatures } from '@millrace/contracts';
import { AppError, readFeaturesMethod } from '@millrace/contracts';
import { eventually } from '@millrace/testing';
import type { Serving } from '../support/serving.ts';
import { fixture, ROW, startServing } from '../support/serving.ts';

let serving: Serving;
let store: ReturnType<typeof serveRpc>;
/** Questions that were answered. */
const asked: { tenant: string; entities: Record<string, string | number>; views: string[] }[] = [];
/** How old the event of what is answered is (s); the TTL is 60. */
let ageSeconds = 0;

beforeAll(async () => {
  serving = await startServing();
  await serving.registry.add('entities', fixture('classifier'));
  // in place of the datasets service, which tests its own half
  store = serveRpc(serving.bus, 'datasets', 'features', readFeaturesMethod, async (request) => {
    asked.push(request);
    const views = request.views.map((view): ReadFeatures => {
      if (view === 'none') throw new AppError('feature_view_not_found', 'There is no feature view "none".');
      return {
        view,
        entity: String(request.entities.customer),
        eventTime: new Date(Date.now() - ageSeconds * 1_000).toISOString(),
        reason: ageSeconds > 60 ? 'expired' : null,
        ttlSeconds: 60,
        values: { first: 0.1, flag: true, off: false, rest: ROW.slice(3), gone: null, word: 'x', lost: null },
        sizes: { rest: 7, lost: 7 },
      };
    });
    return { views };
  });
});
afterAll(async () => {
  await store.stop();
  await serving.stop();
});

/** A customer whose values nobody has asked for yet. */
let customers = 0;
function someone() {
  customers += 1;
  return { customer: `c${customers}` };
}
const predict = (input: unknown, entities: object = someone()) =>
  serving.predict({ modelId: 'entities', entities, features: { float_input: input } });
const WHOLE = { from: ['v.first', 'v.flag', 'v.off', 'v.rest'] };
const SAME = [0.1, 1, 0, ...ROW.slice(3)];

describe('/predict for an entity', () => {
  test('is the prediction of its values, and is recorded with exactly these', async () => {
    const { body: wanted } = await serving.classify('entities', [SAME]);
    const before = serving.batches.length;
    const { status, body } = await predict(WHOLE);
    expect(status).toBe(200);
    expect(body.prediction).toEqual(wanted.prediction);
    expect(asked.at(-1)).toMatchObject({ tenant: 'default', views: ['v'] });
    await eventually(async () => {
      const recorded = serving.batches
        .slice(before)
        .flatMap(({ predictions }) => predictions)
        .find(({ inferenceId }) => inferenceId === body.inferenceId);
      expect(recorded?.inputs[0]?.values?.map((value) => Math.fround(Number(value)))).toEqual(
        SAME.map(Math.fround),
      );
    });
  });

  test('asks once a second at most, and again as soon as the values are past their TTL', async () => {
    const whom = someone();
    const count = asked.length;
    for (let i = 0; i < 3; i += 1) expect((await predict(WHOLE, whom)).status).toBe(200);
    expect(asked.length).toBe(count + 1);
    ageSeconds = 59.8;
    const late = someone();
    expect((await predict(WHOLE, late)).status).toBe(200);
    ageSeconds = 0;
    await new Promise((resolve) => setTimeout(resolve, 250));
    const before = asked.length;
    expect((await predict(WHOLE, late)).status).toBe(200);
    expect(asked.length).toBe(before + 1);
  });

  test('a value that is not there is refused, or what the request says for it', async () => {
    const refused = await predict({ from: ['v.first', 'v.flag', 'v.gone', 'v.rest'] });
    expect(refused).toMatchObject({ status: 422, body: { code: 'feature_unavailable' } });
    expect(String(refused.body.detail)).toContain('v.gone');
    const filled = await predict({ from: ['v.first', 'v.flag', 'v.off', 'v.lost'], missing: 0.5 });
    const { body: wanted } = await serving.classify('entities', [[0.1, 1, 0, ...new Array(7).fill(0.5)]]);
    expect(filled.body.prediction).toEqual(wanted.prediction);
    ageSeconds = 61;
    expect(String((await predict({ from: ['v.gone'] })).body.detail)).toContain('past its time to live');
    ageSeconds = 0;
  });

  test.each([
    [{ from: ['none.first'] }, 404, 'feature_view_not_found'],
    [{ from: ['v.unknown'] }, 400, 'invalid_request'],
    [{ from: ['first'] }, 400, 'invalid_request'],
    [{ from: [] }, 400, 'invalid_request'],
    [{ from: ['v.first'], missing: 'x' }, 400, 'invalid_request'],
    [{ from: ['v.first'], more: 1 }, 400, 'unknown_field'],
    [{ from: ['v.first'] }, 400, 'invalid_shape'],
    [{ from: ['v.word', 'v.flag', 'v.off', 'v.rest'] }, 400, 'invalid_type'],
  ])('%j is %d %s', async (input, status, code) => {
    expect(await predict(input)).toMatchObject({ status, body: { code } });
  });

  test.each([[{}], [{ customer: 1.5 }], [{ customer: '' }], [['x']], [{ 'No!': 'x' }]])(
    'entities %j are refused',
    async (entities) => {
      expect(await predict(WHOLE, entities)).toMatchObject({
        status: 400,
        body: { code: 'invalid_request' },
      });
    },
  );

  test('without the feature store the caller is told to try again', async () => {
    await store.stop();
    expect(await predict(WHOLE)).toMatchObject({ status: 503, body: { code: 'dependency_unavailable' } });
    expect((await serving.classify('entities', [ROW])).status).toBe(200);
  });
});
