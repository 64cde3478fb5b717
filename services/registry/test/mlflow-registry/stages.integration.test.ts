import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { RegistryStack } from '../support/registry-stack.ts';
import { getJson, postJson, startRegistryStack, upload } from '../support/registry-stack.ts';
import { ask, file, rolloutRequests } from '../support/rollout-requests.ts';

const MODEL = 'staged';
let stack: RegistryStack;
const { put, path } = rolloutRequests(() => stack);

beforeAll(async () => {
  stack = await startRegistryStack({ withInference: true });
  for (const version of ['1', '2', '3'])
    await upload(stack.registry.origin, { modelId: MODEL, version, framework: 'onnx' }, file('steady'));
}, 90_000);
afterAll(() => stack?.stop());

const transition = (version: string, archiveOthers: boolean) =>
  postJson(`${stack.registry.origin}/api/2.0/mlflow/model-versions/transition-stage`, {
    name: MODEL,
    version,
    stage: 'Production',
    archive_existing_versions: archiveOthers,
  });
const stages = async () => {
  const { body } = await getJson(
    `${stack.registry.origin}/api/2.0/mlflow/model-versions/search?filter=name='${MODEL}'&order_by=version_number ASC`,
  );
  return (body.model_versions as { current_stage: string }[]).map(({ current_stage }) => current_stage);
};

test('a version and those that it replaces move together or not at all', async () => {
  for (const version of ['1', '2']) expect((await transition(version, false)).status).toBe(200);
  expect(await stages()).toEqual(['Production', 'Production', 'None']);

  // the second cannot be archived while requests go to it, after the third moved and the first was archived
  expect(await put(MODEL, { weights: [{ version: '2', weight: 100 }] })).toMatchObject({ status: 201 });
  expect(await transition('3', true)).toMatchObject({
    status: 409,
    body: { error_code: 'RESOURCE_CONFLICT', message: expect.stringMatching(/rollout/) },
  });
  expect(await stages()).toEqual(['Production', 'Production', 'None']);

  const { etag } = await ask('GET', path(MODEL), {});
  await ask('DELETE', path(MODEL), { 'if-match': etag as string });
  expect((await transition('3', true)).body).toMatchObject({
    model_version: { version: '3', current_stage: 'Production' },
  });
  expect(await stages()).toEqual(['Archived', 'Archived', 'Production']);

  // what was archived before is not told again
  expect((await transition('3', true)).status).toBe(200);
  const { body } = await getJson(`${stack.registry.origin}/v1/models/${MODEL}/history?limit=500`);
  const moved = (body.items as { payload?: Record<string, unknown> }[])
    .map((row) => JSON.stringify(row))
    .filter((row) => row.includes('"stage-changed"'));
  expect(moved).toHaveLength(5);
});
