import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { eventually } from '@millrace/testing';
import type { RegistryStack } from '../support/registry-stack.ts';
import { getJson, postJson, startRegistryStack, upload } from '../support/registry-stack.ts';
import { ask } from '../support/rollout-requests.ts';

const model = readFileSync(new URL('../fixtures/model.onnx', import.meta.url));
/** Shorter than the time after which inference asks again by itself: what is seen came by event. */
const BY_EVENT_MS = 3_000;
let stack: RegistryStack;

beforeAll(async () => {
  stack = await startRegistryStack({ withInference: true });
}, 90_000);
afterAll(() => stack?.stop());

const predict = () =>
  postJson(`${stack.inference?.origin}/predict`, {
    modelId: 'guarded',
    features: { float_input: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0] },
  });
const answers = (expected: unknown) =>
  eventually(
    async () => {
      expect(await predict()).toMatchObject(expected as Record<string, unknown>);
      return true;
    },
    { timeoutMs: BY_EVENT_MS, intervalMs: 50 },
  );

test('a model in memory stops answering when policy no longer lets it, and goes on when it does again', async () => {
  const { origin } = stack.registry;
  await upload(origin, { modelId: 'guarded', version: 'v1', framework: 'onnx' }, model);
  const path = `${origin}/v1/models/guarded`;
  await postJson(`${path}/versions/v1/stage`, { stage: 'production' });
  await answers({ status: 200, body: { modelVersion: 'v1' } });

  await ask('PUT', `${path}/policy`, {}, { allowList: { production: 'enforce' } });
  await answers({ status: 403, body: { code: 'digest_not_allowed' } });
  const { packageDigest } = (await getJson(`${path}/versions/v1`)).body;
  await ask('PUT', `${path}/allow-list/production/${packageDigest}`, {}, {});
  await answers({ status: 200 });

  await ask('PUT', `${path}/policy`, {}, { servableStages: ['staging'] });
  await answers({ status: 404, body: { code: 'version_not_found' } });
  await ask('DELETE', `${path}/policy`, {});
  await answers({ status: 200 });

  // what is deleted leaves memory
  await upload(origin, { modelId: 'guarded', version: 'v0', framework: 'onnx' }, model);
  const loaded = async () =>
    JSON.stringify((await getJson(`${stack.inference?.origin}/v1/inference/models`)).body);
  await eventually(async () => {
    expect(await loaded()).toContain('"v0"');
    return true;
  });
  expect((await ask('DELETE', `${path}/versions/v0`, {})).status).toBe(204);
  await eventually(async () => {
    expect(await loaded()).not.toContain('"v0"');
    return true;
  });
  await answers({ status: 200, body: { modelVersion: 'v1' } });
});
