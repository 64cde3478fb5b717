import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { AppError } from '@millrace/contracts';
import { createMetrics } from '@millrace/service-kit';
import type { CachedRequest, ResponseCache } from '../../src/cache/response-cache.ts';
import { createResponseCache } from '../../src/cache/response-cache.ts';
import type { QueueAnswer } from '../../src/engine/request-queue.ts';
import type { LoadedModel } from '../../src/models/model-store.ts';
import type { Tensor } from '../../src/tensors/tensor.ts';

const version = { modelVersionId: 'id-1', packageDigest: 'digest', modelId: 'm', model: 'm', version: 'v1' };
const model = { version, served: {} } as unknown as LoadedModel;
const floats = (name: string, ...values: number[]): Tensor => ({
  name,
  dtype: 'float32',
  shape: [values.length],
  data: Float32Array.from(values),
});

function request(x: number, more: Partial<CachedRequest> = {}): CachedRequest {
  return {
    model,
    policy: { maxBytes: 1024 * 1024, ttlSeconds: 60 },
    inputs: [floats('x', x)],
    outputs: undefined,
    rows: 1,
    startedAt: performance.now(),
    deadlineMs: 1_000,
    ...more,
  };
}

let cache: ResponseCache;
let runs: { resolve(y: number): void; reject(error: unknown): void }[];

/** A run that ends when the test says so. */
const run = (): Promise<QueueAnswer> =>
  new Promise((resolve, reject) => {
    runs.push({
      reject,
      resolve: (y) => resolve({ outputs: [floats('y', y)], queueMs: 1, computeMs: 2, joinedRows: 1 }),
    });
  });

beforeEach(() => {
  runs = [];
  const metrics = createMetrics({ service: 'inference', withDefaults: false });
  cache = createResponseCache(metrics, { bytesMax: 1024 * 1024, waitingMax: 8, fronts: 1 });
});
afterEach(() => cache.stop());

test('equal requests that come together run once, others run for themselves', async () => {
  const same = [cache.answer(request(1), run), cache.answer(request(1), run), cache.answer(request(1), run)];
  const other = cache.answer(request(2), run);
  const fewer = cache.answer(request(1, { outputs: ['y'] }), run);
  expect(runs).toHaveLength(3);
  for (const [i, { resolve }] of runs.entries()) resolve(i);
  const answers = await Promise.all(same);
  expect(answers.map(({ isHit }) => isHit)).toEqual([false, true, true]);
  expect(answers.map(({ queued }) => queued.outputs)).toEqual(Array(3).fill([floats('y', 0)]));
  expect((await other).queued.outputs).toEqual([floats('y', 1)]);
  expect((await fewer).isHit).toBe(false);
  expect(cache.totals(model.served)).toMatchObject({ hits: 2, hitRows: 2, misses: 3 });
});

test('another version never gives its answers', async () => {
  const first = cache.answer(request(1), run);
  runs[0]?.resolve(1);
  await first;
  const next = { ...model, version: { ...model.version, modelVersionId: 'id-2' } };
  void cache.answer(request(1, { model: next }), run);
  const repacked = { ...model, version: { ...model.version, packageDigest: 'other' } };
  void cache.answer(request(1, { model: repacked }), run);
  expect(runs).toHaveLength(3);
  expect((await cache.answer(request(1), run)).isHit).toBe(true);
});

test('who waited for a request that failed runs for itself', async () => {
  const first = cache.answer(request(1), run);
  const second = cache.answer(request(1), run);
  runs[0]?.reject(new AppError('request_cancelled', 'The caller went away.'));
  await expect(first).rejects.toMatchObject({ code: 'request_cancelled' });
  while (runs.length < 2) await new Promise((resolve) => setImmediate(resolve));
  runs[1]?.resolve(7);
  expect(await second).toMatchObject({ isHit: false, queued: { outputs: [floats('y', 7)] } });
});

test('who waits longer than its deadline is told so, and the one that runs is not', async () => {
  const first = cache.answer(request(1), run);
  await expect(cache.answer(request(1, { deadlineMs: 20 }), run)).rejects.toMatchObject({
    code: 'deadline_exceeded',
  });
  runs[0]?.resolve(1);
  expect((await first).isHit).toBe(false);
});

test('no more than the bound wait for one', () => {
  for (let i = 0; i < 12; i += 1) void cache.answer(request(1), run);
  // one runs, eight wait, three run for themselves
  expect(runs).toHaveLength(4);
  for (const { resolve } of runs) resolve(1);
});
