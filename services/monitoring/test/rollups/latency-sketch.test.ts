import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { LatencySketch } from '../../src/rollups/latency-sketch.ts';
import {
  addToSketch,
  LATENCY_MAX_MS,
  LATENCY_MIN_MS,
  latencyKey,
  latencyQuantiles,
  RELATIVE_ERROR,
} from '../../src/rollups/latency-sketch.ts';

const latencies = fc.array(fc.double({ min: LATENCY_MIN_MS, max: LATENCY_MAX_MS, noNaN: true }), {
  minLength: 1,
  maxLength: 300,
});

function sketchOf(values: readonly number[]): LatencySketch {
  const sketch: LatencySketch = new Map();
  for (const value of values) addToSketch(sketch, latencyKey(value), 1);
  return sketch;
}

test('every quantile is within its relative error of the exact one', () => {
  fc.assert(
    fc.property(latencies, fc.double({ min: 0, max: 1, noNaN: true }), (values, quantile) => {
      const sorted = values.toSorted((a, b) => a - b);
      const exact = sorted[Math.floor(quantile * (sorted.length - 1))] as number;
      const [found] = latencyQuantiles(sketchOf(values), [quantile]);
      expect(Math.abs((found as number) - exact) / exact).toBeLessThanOrEqual(RELATIVE_ERROR + 1e-9);
    }),
  );
});

test('sketches of parts add up to the sketch of the whole, in any order', () => {
  fc.assert(
    fc.property(latencies, latencies, (one, other) => {
      const added = sketchOf(other);
      for (const [key, count] of sketchOf(one)) addToSketch(added, key, count);
      expect(new Map([...added].sort())).toEqual(new Map([...sketchOf([...one, ...other])].sort()));
    }),
  );
});

test('its bins are bounded, whatever a clock says', () => {
  const keys = [0, 1e-300, LATENCY_MIN_MS, 1, 1e300, Number.MAX_VALUE].map(latencyKey);
  expect(Math.max(...keys) - Math.min(...keys) + 1).toBeLessThanOrEqual(1_152);
  expect(latencyQuantiles(new Map(), [0.5])).toEqual([null]);
});
