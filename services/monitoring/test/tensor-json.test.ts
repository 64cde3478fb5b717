import { describe, expect, test } from '@jest/globals';
import { tensorsAsJson } from '../src/events/tensor-json.ts';

const base64 = (data: NodeJS.TypedArray): string =>
  Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64');
const tensor = (dtype: string, shape: number[], rest: object) => ({
  name: 'x',
  dtype,
  shape,
  sha256: 'a',
  ...rest,
});
const read = (summary: ReturnType<typeof tensor>): unknown => JSON.parse(tensorsAsJson([summary])).x;

describe('tensors of a prediction as JSON', () => {
  test('bytes give the values that JSON would have given', () => {
    const cases: [string, NodeJS.TypedArray, unknown[]][] = [
      [
        'float32',
        new Float32Array([0.1, -2.5, 1e-7, Number.NaN, Infinity, 16777216]),
        [0.1, -2.5, 1e-7, null, null, 16777216],
      ],
      ['float64', new Float64Array([0.1, Number.NaN]), [0.1, null]],
      ['float16', new Uint16Array([0x3c00, 0xc000, 0x0001, 0x7c00]), [1, -2, 2 ** -24, null]],
      ['int8', new Int8Array([-1, 127]), [-1, 127]],
      ['int16', new Int16Array([-300]), [-300]],
      ['int32', new Int32Array([-70_000]), [-70_000]],
      ['int64', new BigInt64Array([-5n, 2n ** 60n]), [-5, (2n ** 60n).toString()]],
      ['uint8', new Uint8Array([255]), [255]],
      ['uint16', new Uint16Array([65_535]), [65_535]],
      ['uint32', new Uint32Array([2 ** 32 - 1]), [2 ** 32 - 1]],
      ['uint64', new BigUint64Array([2n ** 64n - 1n]), [(2n ** 64n - 1n).toString()]],
      ['bool', new Uint8Array([1, 0]), [true, false]],
    ];
    for (const [dtype, data, values] of cases) {
      expect([dtype, read(tensor(dtype, [values.length], { data: base64(data) }))]).toEqual([dtype, values]);
    }
  });

  test('values are nested by shape, and one row loses its row dimension', () => {
    const data = base64(new Float32Array([1, 2, 3, 4]));
    expect(read(tensor('float32', [2, 2], { data }))).toEqual([
      [1, 2],
      [3, 4],
    ]);
    expect(read(tensor('float32', [1, 4], { data }))).toEqual([1, 2, 3, 4]);
    expect(read(tensor('float32', [2, 1], { values: [5, 6] }))).toEqual([[5], [6]]);
  });

  test('a tensor without values is named by digest and shape', () => {
    expect(read(tensor('float32', [1, 9000], {}))).toEqual({
      dtype: 'float32',
      shape: [1, 9000],
      sha256: 'a',
    });
    expect(read(tensor('bfloat16', [1], { data: 'AAA=' }))).toMatchObject({ dtype: 'bfloat16' });
  });
});
