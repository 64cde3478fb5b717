import { createHash } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { summarise } from '../../src/telemetry/tensor-summary.ts';
import { createTokenBucket } from '../../src/telemetry/token-bucket.ts';
import type { Tensor } from '../../src/tensors/tensor.ts';

const image = (pixels: number): Tensor => ({
  name: 'input',
  dtype: 'float32',
  shape: [1, pixels],
  data: new Float32Array(pixels).fill(0.5),
});
const sha256 = ({ data }: Tensor): string =>
  createHash('sha256')
    .update(new Uint8Array((data as Float32Array).buffer))
    .digest('hex');

test('small tensors are always named by digest, large ones as long as they are few', () => {
  const small = image(1_000);
  const large = image(150_528);
  expect(summarise(large).sha256).toBe(sha256(large));
  const summaries = Array.from({ length: 200 }, () => summarise(large));
  const bare = summaries.filter((one) => !('sha256' in one));
  expect(bare.length).toBeGreaterThan(20);
  expect(bare[0]).toEqual({ name: 'input', dtype: 'float32', shape: [1, 150_528] });
  expect(summarise(small).sha256).toBe(sha256(small));
  expect(summarise(large, 'known').sha256).toBe('known');
});

test('a bucket lets its second through, whose last may be larger, and then nothing', () => {
  const bucket = createTokenBucket(10);
  expect([bucket.take(6), bucket.take(30), bucket.take(1)]).toEqual([true, true, false]);
});
