import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { promisedTime } from '@millrace/testing';
import type { RegistryStack } from './support/registry-stack.ts';
import { getJson, startRegistryStack, upload } from './support/registry-stack.ts';

/** A refusal comes within this time, on a machine that does other work as well (ms). */
const REFUSAL_MS_MAX = promisedTime(1_000);
const corpus = new URL('../../../libs/onnx/test/fixtures/generated/', import.meta.url);
const graph = (name: string) => readFileSync(new URL(`${name}.onnx`, corpus));
const refused = JSON.parse(readFileSync(new URL('bad.json', corpus), 'utf8')) as Record<
  string,
  { code: string; says: string }
>;

let stack: RegistryStack;

beforeAll(async () => {
  stack = await startRegistryStack({ withInference: false });
});
afterAll(() => stack?.stop());

async function refuse(model: string, bytes: Uint8Array) {
  const start = performance.now();
  const fields = { modelId: model, version: 'v1', framework: 'onnx' };
  const answer = await upload(stack.registry.origin, fields, bytes);
  expect(performance.now() - start).toBeLessThan(REFUSAL_MS_MAX);
  return answer;
}

test.each(Object.entries(refused))(
  '%s is refused at upload, and nothing of it is kept',
  async (name, { code, says }) => {
    const answer = await refuse(name, graph(name));
    expect(answer).toMatchObject({ status: 422, body: { code, error: expect.stringContaining(says) } });
    const { status } = await getJson(`${stack.registry.origin}/model/${name}/v1`);
    expect(status).toBe(404);
  },
);

const cut = (name: string, bytes: number) => graph(name).subarray(0, bytes);

test.each<[string, Uint8Array, number]>([
  ['no bytes', new Uint8Array(), 422],
  ['a page', Buffer.from('<!doctype html><html><body>404</body></html>'), 422],
  ['a pickle', Buffer.from('gASVAAAAAA==', 'base64'), 422],
  ['an archive', Buffer.from('UEsDBBQAAAAIAA==', 'base64'), 422],
  ['half a graph', cut('random_forest', 900), 422],
  ['noise', Uint8Array.from({ length: 4_096 }, (_, i) => (i * 2_654_435_761) >>> 24), 422],
])('%s is not taken for a model', async (what, bytes, status) => {
  const answer = await refuse(what, bytes);
  expect(answer.status).toBe(status);
  expect(String(answer.body.code)).toMatch(/^(not_onnx|invalid_model|invalid_archive)$/);
});
