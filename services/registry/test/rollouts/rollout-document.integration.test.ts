import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { RolloutSpec } from '@millrace/contracts';
import type { RegistryStack } from '../support/registry-stack.ts';
import { getJson, postJson, startRegistryStack, upload } from '../support/registry-stack.ts';
import { ask, file, rolloutRequests, split } from '../support/rollout-requests.ts';

let stack: RegistryStack;
const { path, put, addModel } = rolloutRequests(() => stack);

const model = 'documented rollout';

beforeAll(async () => {
  stack = await startRegistryStack({ withInference: true });
  await addModel(model);
}, 60_000);
afterAll(() => stack?.stop());

test('is made, read, replaced against its entity tag and listed', async () => {
  expect((await getJson(path(model))).body).toMatchObject({ code: 'rollout_not_found', status: 404 });
  // ordinals and labels are both understood; labels are kept
  const made = await put(model, {
    weights: [
      { version: '1', weight: 90 },
      { version: 'v2', weight: 10 },
    ],
  });
  expect(made).toMatchObject({
    status: 201,
    etag: '"1"',
    body: { model, revision: 1, spec: split(90, 10), rolledBack: null },
  });
  expect(await put(model, split(80, 20))).toMatchObject({
    status: 428,
    body: { code: 'precondition_required' },
  });
  expect(await put(model, split(80, 20), '"7"')).toMatchObject({
    status: 412,
    body: { code: 'precondition_failed' },
  });
  expect(await put(model, split(80, 20), '"1"')).toMatchObject({ status: 200, etag: '"2"' });
  // an equal document is no new revision
  expect(await put(model, split(80, 20), '"2"')).toMatchObject({ status: 200, etag: '"2"' });
  const again = await ask('PUT', path(model), { 'if-none-match': '*' }, split(50, 50));
  expect(again).toMatchObject({ status: 412 });
  const { body } = await getJson(`${stack.registry.origin}/v1/rollouts?limit=500`);
  expect(body.items).toEqual(expect.arrayContaining([expect.objectContaining({ model, revision: 2 })]));
});

test('of two writers of one revision one wins', async () => {
  const { etag } = await ask('GET', path(model), {});
  const answers = await Promise.all(
    [30, 31, 32, 33].map((weight) => put(model, split(100 - weight, weight), etag as string)),
  );
  expect(answers.map((answer) => answer.status).sort()).toEqual([200, 412, 412, 412]);
});

test.each<[string, unknown, number, RegExp]>([
  [
    'an unknown version',
    split(50, 50).weights && { weights: [{ version: 'v9', weight: 100 }] },
    422,
    /weights\.0\.version is v9/,
  ],
  ['weights that are not 100', split(50, 49), 422, /add up to 99; they must add up to 100/],
  [
    'a version twice',
    {
      weights: [
        { version: 'v1', weight: 50 },
        { version: '1', weight: 50 },
      ],
    },
    422,
    /weights\.1\.version is v1 again/,
  ],
  ['too fine a weight', split(99.995, 0.005), 422, /more than two decimals/],
  ['sticky without weights', { sticky: { by: 'userId' } }, 422, /needs weights/],
  [
    'sticky by a header that is not named',
    { ...split(50, 50), sticky: { by: 'header' } },
    422,
    /sticky\.header is needed/,
  ],
  [
    'a rule on a secret',
    { rules: [{ header: 'Authorization', prefix: 'B', version: 'v2' }] },
    422,
    /carries secrets/,
  ],
  [
    'a rule with nothing to compare',
    { rules: [{ header: 'x-a', version: 'v2' }] },
    422,
    /either equals or prefix/,
  ],
  [
    'a canary with nothing to watch',
    { ...split(90, 10), canary: { version: 'v2', baseline: 'v1', windowSeconds: 60, minRequests: 10 } },
    422,
    /nothing to watch/,
  ],
  [
    'a canary without weight',
    {
      weights: [{ version: 'v1', weight: 100 }],
      canary: {
        version: 'v2',
        baseline: 'v1',
        windowSeconds: 60,
        minRequests: 10,
        errorRateIncreaseMax: 0,
      },
    },
    422,
    /v2 has no weight/,
  ],
  ['nothing', {}, 422, /is empty/],
  ['an unknown field', { weight: 1 }, 400, /'weight' that is not known/],
  ['a weight over 100', { weights: [{ version: 'v1', weight: 101 }] }, 400, /<= 100/],
])('%s is refused with the field', async (_what, spec, code, message) => {
  const answer = await put(model, spec as RolloutSpec, '*');
  expect(answer.status).toBe(code);
  expect(answer.body.detail).toMatch(message);
});

test('a version that takes other inputs cannot share the traffic', async () => {
  const { origin } = stack.registry;
  await upload(origin, { modelId: model, version: 'wider', framework: 'onnx' }, file('model'));
  const answer = await put(
    model,
    {
      weights: [
        { version: 'v1', weight: 50 },
        { version: 'wider', weight: 50 },
      ],
    },
    '*',
  );
  expect(answer).toMatchObject({ status: 422, body: { code: 'invalid_rollout' } });
  expect(answer.body.detail).toMatch(/takes float_input float32 \[N, 10\]; v1 takes x float32 \[N, 4\]/);
});

test('a version in a rollout is not archived, and each change is in the history', async () => {
  const stage = `${stack.registry.origin}/v1/models/${encodeURIComponent(model)}/versions/v2/stage`;
  expect(await postJson(stage, { stage: 'archived' })).toMatchObject({
    status: 409,
    body: { code: 'version_in_rollout' },
  });
  expect(await ask('DELETE', path(model), {})).toMatchObject({ status: 428 });
  expect(await ask('DELETE', path(model), { 'if-match': '*' })).toMatchObject({ status: 204 });
  expect((await postJson(stage, { stage: 'archived' })).status).toBe(200);
  // an archived version is none for a rollout
  expect((await put(model, split(50, 50))).body.detail).toMatch(/v2, which is archived/);
  const history = `${stack.registry.origin}/v1/models/${encodeURIComponent(model)}/history`;
  const { body } = await getJson(history);
  const actions = (body.items as { entry: { action: string } }[]).map(({ entry }) => entry.action);
  expect(actions.filter((action) => action.startsWith('rollout-'))).toEqual([
    'rollout-set',
    'rollout-set',
    'rollout-set',
    'rollout-deleted',
  ]);
  expect((await getJson(`${history}/verify`)).body).toMatchObject({ verified: true });
  // a revision is never given twice
  expect((await put(model, { weights: [{ version: 'v1', weight: 100 }] })).etag).toBe('"5"');
});
