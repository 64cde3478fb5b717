import { expect, test } from '@jest/globals';
import type { Tensor } from '../src/tensor.ts';
import { fromBytes, fromJsonValues, toBytes, toJsonValues } from '../src/tensor.ts';
import type { TensorInput } from '../src/tensor-input.ts';
import { toTensor } from '../src/tensor-input.ts';

const tensors: Tensor[] = [
  { name: 't', datatype: 'INT64', shape: [3], data: new BigInt64Array([1n, 2n ** 53n + 1n, -(2n ** 63n)]) },
  { name: 't', datatype: 'UINT64', shape: [2], data: new BigUint64Array([0n, 2n ** 64n - 1n]) },
  { name: 't', datatype: 'BOOL', shape: [2, 1], data: new Uint8Array([1, 0]) },
  { name: 't', datatype: 'FP64', shape: [2], data: new Float64Array([0.1, -1e300]) },
  { name: 't', datatype: 'BYTES', shape: [3], data: ['', 'ü', '日本'] },
];

test.each(tensors.map((tensor) => [tensor.datatype, tensor] as const))(
  '%s is the same after JSON and after bytes at any place',
  (datatype, tensor) => {
    const json = JSON.parse(JSON.stringify(toJsonValues(tensor))) as unknown;
    expect(fromJsonValues(datatype, json)).toEqual(tensor.data);
    for (const offset of [0, 1, 3, 8]) {
      const bytes = toBytes(tensor);
      const moved = new Uint8Array(offset + bytes.length);
      moved.set(bytes, offset);
      expect(fromBytes(datatype, moved.subarray(offset))).toEqual(tensor.data);
    }
  },
);

test.each<[string, number[], TensorInput, number[]]>([
  ['a flat list in rows', [-1, 2], [1, 2, 3, 4], [2, 2]],
  ['rows as they are', [-1, 2], [[1, 2]], [1, 2]],
  [
    'one row without the dimension of rows',
    [-1, 2, 2],
    [
      [1, 2],
      [3, 4],
    ],
    [1, 2, 2],
  ],
  ['a number', [], 7, []],
  ['a typed array', [2, -1], new Int32Array(6), [2, 3]],
])('%s', (_what, shape, input, expected) => {
  expect(toTensor({ name: 'x', datatype: 'INT32', shape }, input).shape).toEqual(expected);
});

test.each<[string, string, number[], TensorInput, string]>([
  ['a value beyond the type', 'INT8', [-1], [128], 'invalid_type'],
  ['a fraction', 'INT32', [-1], [1.5], 'invalid_type'],
  ['a whole number that is not exact', 'INT64', [-1], [2 ** 53], 'invalid_type'],
  ['a number for a truth value', 'BOOL', [-1], [1], 'invalid_type'],
  ['values that are not whole rows', 'FP32', [-1, 3], [1, 2, 3, 4], 'invalid_shape'],
  ['two free dimensions', 'FP32', [-1, -1], new Float32Array(4), 'invalid_shape'],
  ['a wrong depth', 'FP32', [-1, 2], [[[1, 2]]], 'invalid_shape'],
  [
    'a tensor with too few values',
    'FP32',
    [-1],
    { datatype: 'FP32', shape: [3], data: new Float32Array(2) },
    'invalid_shape',
  ],
])('%s is refused', (_what, datatype, shape, input, code) => {
  expect(() => toTensor({ name: 'x', datatype, shape }, input)).toThrow(
    expect.objectContaining({ code, message: expect.stringContaining('"x"') }),
  );
});
