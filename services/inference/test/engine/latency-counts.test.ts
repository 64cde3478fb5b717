import { expect, test } from '@jest/globals';
import { countLatency, createLatencyCounts, latencyQuantile } from '../../src/engine/latency-counts.ts';

test('quantiles are at most a fifth over the true ones', () => {
  const counts = createLatencyCounts();
  const times = Array.from({ length: 5_000 }, (_, i) => 0.03 * 1.002 ** i);
  for (const ms of times) countLatency(counts, ms);
  for (const share of [0.01, 0.5, 0.9, 0.99, 1]) {
    const exact = times[Math.ceil(times.length * share) - 1] as number;
    const told = latencyQuantile(counts, share);
    expect(told).toBeGreaterThanOrEqual(exact * 0.999);
    expect(told).toBeLessThanOrEqual(exact * 2 ** 0.25 * 1.001);
  }
});

test('nothing counted is 0, and times beyond the ends are kept in the end buckets', () => {
  const counts = createLatencyCounts();
  expect(latencyQuantile(counts, 0.99)).toBe(0);
  countLatency(counts, 0);
  expect(latencyQuantile(counts, 1)).toBe(0.02);
  countLatency(counts, 1e9);
  expect(latencyQuantile(counts, 1)).toBeGreaterThan(60_000);
});
