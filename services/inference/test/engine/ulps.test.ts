import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ulpsApart } from '../../src/engine/ulps.ts';
import type { Tensor } from '../../src/tensors/tensor.ts';

const floats = (values: number[]): Tensor =>
  ({ name: 'x', dtype: 'float32', shape: [values.length], data: Float32Array.from(values) }) as Tensor;
const doubles = (values: number[]): Tensor =>
  ({ name: 'x', dtype: 'float64', shape: [values.length], data: Float64Array.from(values) }) as Tensor;
const halves = (bits: number[]): Tensor =>
  ({ name: 'x', dtype: 'float16', shape: [bits.length], data: Uint16Array.from(bits) }) as Tensor;

/** The number `steps` places further in the order of float32. */
function stepped(value: number, steps: number): number {
  const bits = new Int32Array(Float32Array.of(value).buffer);
  const place = (bits[0] as number) < 0 ? -(2 ** 31) - (bits[0] as number) : (bits[0] as number);
  const next = place + steps;
  return new Float32Array(Int32Array.of(next < 0 ? -(2 ** 31) - next : next).buffer)[0] as number;
}

describe('units in the last place', () => {
  test('are the steps between two floats, also across zero', () => {
    fc.assert(
      fc.property(
        fc.float({ noNaN: true, max: 2 ** 100, min: -(2 ** 100) }),
        fc.integer({ min: 1, max: 1000 }),
        (value, steps) => {
          expect(ulpsApart(floats([1, value]), floats([1, stepped(value, steps)]))).toBe(steps);
        },
      ),
    );
    expect(ulpsApart(floats([stepped(0, -2)]), floats([stepped(0, 3)]))).toBe(5);
  });

  test('are of the worst pair', () => {
    expect(ulpsApart(floats([1, 2, 3]), floats([stepped(1, 2), 2, stepped(3, 7)]))).toBe(7);
    expect(ulpsApart(doubles([1]), doubles([1 + 2 * Number.EPSILON]))).toBe(2);
    expect(ulpsApart(halves([0x3c00, 0x8001]), halves([0x3c01, 0x0001]))).toBe(2);
  });

  test('are 0 only for the same bits', () => {
    expect(ulpsApart(floats([Number.NaN, 1]), floats([Number.NaN, 1]))).toBe(0);
    expect(ulpsApart(floats([0]), floats([-0]))).toBe(1);
  });

  test('do not measure what is no number, or of another kind', () => {
    expect(ulpsApart(floats([Number.NaN]), floats([1]))).toBe(Infinity);
    expect(ulpsApart(floats([3.4e38]), floats([Number.POSITIVE_INFINITY]))).toBe(Infinity);
    expect(ulpsApart(halves([0x7c00]), halves([0x7bff]))).toBe(Infinity);
    const whole = (value: bigint) =>
      ({ name: 'x', dtype: 'int64', shape: [1], data: BigInt64Array.of(value) }) as Tensor;
    expect(ulpsApart(whole(1n), whole(2n))).toBe(Infinity);
    expect(ulpsApart(floats([1]), floats([1, 2]))).toBe(Infinity);
    const text = (value: string) => ({ name: 'x', dtype: 'string', shape: [1], data: [value] }) as Tensor;
    expect(ulpsApart(text('a'), text('b'))).toBe(Infinity);
  });
});
