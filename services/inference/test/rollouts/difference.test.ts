import { describe, expect, test } from '@jest/globals';
import { differenceOf } from '../../src/rollouts/difference.ts';
import { createTimeBudget } from '../../src/rollouts/time-budget.ts';
import type { Tensor } from '../../src/tensors/tensor.ts';

const floats = (name: string, shape: number[], values: number[]): Tensor => ({
  name,
  dtype: 'float32',
  shape,
  data: Float32Array.from(values),
});
const labels = (values: bigint[]): Tensor => ({
  name: 'label',
  dtype: 'int64',
  shape: [values.length],
  data: BigInt64Array.from(values),
});

describe('the difference of two answers', () => {
  test('is the largest and the mean one of all values, and the classes that agree', () => {
    const a = floats('p', [2, 2], [0.25, 0.75, 1, 0]);
    const b = floats('p', [2, 2], [0.5, 0.5, 0.75, 0.25]);
    expect(differenceOf([a], [b])).toEqual({ maxAbs: 0.25, meanAbs: 0.25, labels: 2, labelsEqual: 1 });
  });

  test('takes labels where the model gives them', () => {
    const p = floats('p', [3, 2], [1, 0, 1, 0, 1, 0]);
    expect(differenceOf([labels([1n, 2n, 3n]), p], [p, labels([1n, 2n, 4n])])).toEqual({
      maxAbs: 0,
      meanAbs: 0,
      labels: 3,
      labelsEqual: 2,
    });
  });

  test('counts what is in neither answer a number as equal', () => {
    const a = floats('y', [3, 1], [Number.NaN, Number.POSITIVE_INFINITY, 1]);
    expect(differenceOf([a], [a])).toEqual({ maxAbs: 0, meanAbs: 0, labels: 0, labelsEqual: 0 });
    const b = floats('y', [3, 1], [0, Number.POSITIVE_INFINITY, 1]);
    expect(differenceOf([a], [b])?.maxAbs).toBe(Number.MAX_VALUE);
  });

  test('reads half precision as numbers', () => {
    const half = (bits: number): Tensor => ({
      name: 'y',
      dtype: 'float16',
      shape: [1],
      data: Uint16Array.of(bits),
    });
    // 1.0 and 1.5
    expect(differenceOf([half(0x3c00)], [half(0x3e00)])?.maxAbs).toBe(0.5);
  });

  test.each<[string, Tensor[]]>([
    ['another shape', [floats('p', [1, 2], [0, 1])]],
    ['another type', [{ name: 'p', dtype: 'float64', shape: [2, 1], data: Float64Array.of(0, 1) }]],
    ['no such output', [floats('q', [2, 1], [0, 1])]],
  ])('%s cannot be compared', (_what, other) => {
    expect(differenceOf([floats('p', [2, 1], [0, 1])], other)).toBeNull();
  });
});

test('a time budget gives back its share of the time that passes, and saves no more than its burst', () => {
  let now = 0;
  const budget = createTimeBudget(0.1, 10, () => now);
  expect(budget.has()).toBe(true);
  budget.spend(15);
  expect(budget.has()).toBe(false);
  now = 49;
  expect(budget.has()).toBe(false);
  now = 51;
  expect(budget.has()).toBe(true);
  now = 1_000_000;
  budget.has();
  budget.spend(11);
  expect(budget.has()).toBe(false);
});
