import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { TensorSummary } from '@millrace/contracts';
import { newId } from '@millrace/contracts';
import { matchLeftOver } from '../../src/feedback/feedback-match.ts';
import { batch, prediction } from '../support/batches.ts';
import type { TestMonitoring } from '../support/start-monitoring.ts';
import { startMonitoring } from '../support/start-monitoring.ts';

type Classified = {
  scores: number[][];
  truth: number[];
  expected: Record<string, number> & {
    perClass: { precision: number; recall: number; f1: number; support: number }[];
  };
};
/** Made by fixtures/make_expected.py with scikit-learn. */
const goldens = JSON.parse(readFileSync(new URL('./fixtures/expected.json', import.meta.url), 'utf8')) as {
  binary: Classified;
  classes: Classified;
  regression: { predicted: number[]; truth: number[]; expected: Record<string, number> };
};

let monitoring: TestMonitoring;
beforeAll(async () => {
  monitoring = await startMonitoring();
});
afterAll(() => monitoring.stop());

const tensor = (values: number[]): TensorSummary => ({
  name: 'output',
  dtype: 'float64',
  shape: [1, values.length],
  values,
});

type Recorded = { inferenceId: string; state: string; isMatched: boolean; isContradictory: boolean };
async function say(items: object[]): Promise<Recorded[]> {
  const { status, body } = await monitoring.call<{ items: Recorded[] }>('POST', '/v1/monitoring/feedback', {
    items,
  });
  expect(status).toBe(200);
  return body.items;
}

/** Stores predictions with these outputs, and what each was in truth. */
async function tell(model: string, outputs: number[][], outcomes: unknown[]): Promise<string[]> {
  const made = outputs.map((values) =>
    prediction({ outputs: [tensor(values)], confidence: values.length > 1 ? Math.max(...values) : null }),
  );
  const modelVersionId = newId();
  // half of the truths come before their predictions
  const items = made.map(({ inferenceId }, index) => ({ inferenceId, outcome: outcomes[index] }));
  const middle = Math.floor(items.length / 2);
  const early = middle === 0 ? [] : await say(items.slice(0, middle));
  expect(early.every(({ state, isMatched }) => state === 'recorded' && !isMatched)).toBe(true);
  await monitoring.store(batch(model, made, { modelVersionId }));
  const late = await say(items.slice(middle));
  expect(late.every(({ isMatched }) => isMatched)).toBe(true);
  return made.map(({ inferenceId }) => inferenceId);
}

type Quality = {
  feedback: Record<string, number | null>;
  classification:
    | (Record<string, number | null> & {
        classes: { label: string; support: number }[];
        confusion: { count: number }[];
        reliability: { count: number }[];
      })
    | null;
  regression: Record<string, number> | null;
  estimate: { accuracy: number; low: number; high: number; predictions: number; labelled: number } | null;
};
const qualityOf = (model: string, query = '') =>
  monitoring.get<Quality>(`/v1/monitoring/quality?modelId=${model}${query}`);

describe.each(['binary', 'classes'] as const)('a classification (%s)', (kind) => {
  test('has the figures of scikit-learn', async () => {
    const { scores, truth, expected } = goldens[kind];
    await tell(
      kind,
      scores,
      truth.map((place) => ({ class: place })),
    );
    const { classification, feedback, regression } = await qualityOf(kind);
    expect(feedback).toMatchObject({ matched: truth.length, classified: truth.length, incomparable: 0 });
    expect(regression).toBeNull();
    const { perClass, ...figures } = expected;
    for (const [name, value] of Object.entries(figures))
      expect([name, classification?.[name]]).toEqual([name, expect.closeTo(value, 9)]);
    for (const [place, one] of perClass.entries())
      expect(classification?.classes.find(({ label }) => label === String(place))).toMatchObject({
        support: one.support,
        precision: expect.closeTo(one.precision, 9),
        recall: expect.closeTo(one.recall, 9),
        f1: expect.closeTo(one.f1, 9),
      });
    expect(classification?.confusion.reduce((sum, { count }) => sum + count, 0)).toBe(truth.length);
    expect(classification?.reliability.reduce((sum, { count }) => sum + count, 0)).toBe(truth.length);
  });
});

test('a regression has the figures of scikit-learn', async () => {
  const { predicted, truth, expected } = goldens.regression;
  await tell(
    'numbers',
    predicted.map((value) => [value]),
    truth.map((value) => ({ value })),
  );
  const { classification, regression, feedback } = await qualityOf('numbers');
  expect(classification).toBeNull();
  expect(feedback).toMatchObject({ measured: truth.length, medianDelaySeconds: expect.any(Number) });
  for (const [name, value] of Object.entries(expected))
    expect([name, regression?.[name]]).toEqual([name, expect.closeTo(value, 6)]);
});

test('an estimate is made of confidences alone, once enough truths are known', async () => {
  expect((await qualityOf('binary')).estimate).toMatchObject({ labelled: goldens.binary.truth.length });
  await tell('few', [[0.9, 0.1]], [{ class: 0 }]);
  const few = await qualityOf('few');
  expect(few).toMatchObject({ estimate: null, classification: { accuracy: 1 } });
});

describe('feedback', () => {
  const accuracyOf = async (model: string) =>
    (await monitoring.get<{ accuracy: number | null }>(`/monitoring/metrics?modelId=${model}`)).accuracy;

  test('of many says of each what became of it', async () => {
    const [known, other] = [prediction(), prediction()];
    await monitoring.store(batch('states', [known, other]));
    const foreign = { inferenceId: newId(), outcome: { class: 0 } };
    const right = { inferenceId: known.inferenceId, outcome: { class: 0 }, correct: true };
    const odd = { inferenceId: other.inferenceId, outcome: { class: 1 }, correct: true };
    const old = { inferenceId: '01900000-0000-7000-8000-000000000001', outcome: {} };
    const brief = (items: Recorded[]) =>
      items.map(({ state, isMatched, isContradictory }) => [state, isMatched, isContradictory]);
    expect(brief(await say([right, odd, foreign, old]))).toEqual([
      ['recorded', true, false],
      ['recorded', true, true],
      ['recorded', false, false],
      ['expired', false, false],
    ]);
    expect(brief(await say([right, { ...odd, correct: false }, foreign]))).toEqual([
      ['duplicate', true, false],
      ['corrected', true, false],
      ['duplicate', false, false],
    ]);
    expect(await accuracyOf('states')).toBe(0.5);
    expect((await qualityOf('states')).feedback).toMatchObject({ matched: 2, contradictory: 0 });
    const history = await monitoring.rows<{ count: number }>(
      'select count(*)::int as count from monitoring.feedback_history where inference_id = any($1)',
      [[known.inferenceId, other.inferenceId, foreign.inferenceId]],
    );
    expect(history).toEqual([{ count: 4 }]);
  });

  test('corrected again and again counts once', async () => {
    const [one] = [prediction()];
    await monitoring.store(batch('flips', [one as typeof one]));
    for (const correct of [true, false, true, undefined, false]) {
      await say([{ inferenceId: one?.inferenceId, outcome: {}, correct }]);
      expect(await accuracyOf('flips')).toBe(correct === undefined ? null : Number(correct));
    }
    const sums = await monitoring.rows(
      "select judged::int, correct::int from monitoring.rollups where model = 'flips' order by width_seconds",
    );
    expect(sums).toEqual(new Array(3).fill({ judged: 1, correct: 0 }));
  });

  test('and predictions that are stored in the same moment find each other, and count once', async () => {
    const modelVersionId = newId();
    const made = Array.from({ length: 60 }, () => prediction());
    await Promise.all(
      made.flatMap((one, index) => {
        const { inferenceId } = one;
        const item = { inferenceId, outcome: {}, correct: index % 4 > 0 };
        return [monitoring.store(batch('race', [one], { modelVersionId })), say([item]), say([item])];
      }),
    );
    expect(await accuracyOf('race')).toBe(0.75);
    const [sums] = await monitoring.rows(
      "select judged::int, predictions::int from monitoring.rollups where model = 'race' and width_seconds = 86400",
    );
    expect(sums).toEqual({ judged: 60, predictions: 60 });
  });

  test('of many predictions and versions, in any order and at once, never waits in a circle', async () => {
    const made = Array.from({ length: 45 }, () => prediction());
    const storing = [0, 1, 2].map((part) => batch('circle', made.slice(part * 15, part * 15 + 15)));
    const lists = Array.from({ length: 8 }, (_, round) => {
      const items = made.map(({ inferenceId }, index) => ({
        inferenceId,
        outcome: {},
        correct: (index + round) % 2 === 0,
      }));
      return round % 2 === 0 ? items : items.toReversed();
    });
    await Promise.all([
      ...storing.map((data) => monitoring.store(data)),
      ...lists.map((items) => say(items)),
    ]);
    const [sums] = await monitoring.rows(
      `select sum(judged)::int as judged, sum(predictions)::int as predictions from monitoring.rollups
       where model = 'circle' and width_seconds = 60`,
    );
    expect(sums).toEqual({ judged: 45, predictions: 45 });
    const [said] = await monitoring.rows<{ accuracy: number }>(
      `select avg(f.correct::int)::float8 as accuracy from monitoring.feedback f where f.model = 'circle'`,
    );
    expect(await accuracyOf('circle')).toBe(said?.accuracy);
  });

  test('left beside its prediction by a process that ended between the two is joined later', async () => {
    const made = Array.from({ length: 5 }, () => prediction());
    await monitoring.store(batch('left-over', made));
    for (const { inferenceId } of made)
      await monitoring.rows(
        `insert into monitoring.feedback (inference_id, tenant, outcome, correct) values ($1, 'default', '{}', true)`,
        [inferenceId],
      );
    await say([{ inferenceId: newId(), outcome: {} }]);
    expect(await accuracyOf('left-over')).toBeNull();
    await matchLeftOver(monitoring.database, new Date(0));
    await matchLeftOver(monitoring.database, new Date(0));
    expect(await accuracyOf('left-over')).toBe(1);
    expect((await qualityOf('left-over')).feedback).toMatchObject({ matched: 5 });
  });

  test('of texts that Postgres does not take is kept without them', async () => {
    const one = prediction();
    await monitoring.store(batch('texts', [one]));
    const outcome = { class: 'a\u0000\ud800', spelt: '\\u0000' };
    expect(await say([{ inferenceId: one.inferenceId, outcome }])).toMatchObject([{ state: 'recorded' }]);
    const { items } = await monitoring.get<{ items: { outcome: unknown }[] }>(
      '/v1/monitoring/events?modelId=texts',
    );
    expect(items[0]?.outcome).toEqual({ class: 'a\ufffd\ufffd', spelt: '\\u0000' });
  });

  test.each([
    ['nothing', { items: [] }],
    [
      'the same prediction twice',
      (id: string) => ({ items: [1, 2].map((n) => ({ inferenceId: id, outcome: n })) }),
    ],
    ['no outcome', (id: string) => ({ items: [{ inferenceId: id }] })],
    ['an unknown field', (id: string) => ({ items: [{ inferenceId: id, outcome: 1, more: 1 }] })],
    ['too many', { items: Array.from({ length: 1_001 }, () => ({ inferenceId: newId(), outcome: 1 })) }],
  ])('refuses %s', async (_what, body) => {
    const { status } = await monitoring.call(
      'POST',
      '/v1/monitoring/feedback',
      typeof body === 'function' ? body(newId()) : body,
    );
    expect(status).toBe(400);
  });
});
