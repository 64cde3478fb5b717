import { expect, test } from '@jest/globals';
import { confidenceOf } from '../../src/predictions/confidence.ts';
import type { Tensor } from '../../src/tensors/tensor.ts';

const float = (shape: number[], values: number[]): Tensor => ({
  name: 'y',
  dtype: 'float32',
  shape,
  data: new Float32Array(values),
});
const label: Tensor = { name: 'label', dtype: 'int64', shape: [1], data: new BigInt64Array([1n]) };

test.each<[string, Tensor[], number | null]>([
  ['the maximum of a probability vector', [float([1, 3], [0.1, 0.7, 0.2])], 0.7],
  ['a vector after a label', [label, float([1, 2], [0.25, 0.75])], 0.75],
  ['a single sigmoid', [float([1, 1], [0.87])], 0.87],
  ['a vector without rows', [float([2], [0.5, 0.5])], 0.5],
  ['no probabilities', [float([1, 2], [0.9, 0.9])], null],
  ['a regression', [float([1, 1], [42])], null],
  ['a negative value', [float([1, 3], [-0.1, 0.6, 0.5])], null],
  ['several rows', [float([2, 2], [0.1, 0.9, 0.9, 0.1])], null],
  ['a label alone', [label], null],
])('%s', (_case, outputs, expected) => {
  const confidence = confidenceOf(outputs);
  if (expected === null) expect(confidence).toBeNull();
  else expect(confidence).toBeCloseTo(expected, 6);
});
