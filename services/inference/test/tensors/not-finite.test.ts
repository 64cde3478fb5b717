import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { indexNotFinite } from '../../src/tensors/read-inputs.ts';

const EDGES = [
  0,
  -0,
  1e-45,
  -1e-45,
  3.4028234663852886e38,
  -3.4028234663852886e38,
  Number.MAX_VALUE,
  Number.MIN_VALUE,
];
const NOT_FINITE = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
const value = fc.oneof(
  { weight: 20, arbitrary: fc.double({ noNaN: true, noDefaultInfinity: true }) },
  { weight: 4, arbitrary: fc.constantFrom(...EDGES) },
  { weight: 1, arbitrary: fc.constantFrom(...NOT_FINITE) },
);
const firstOf = (values: ArrayLike<number>): number =>
  Array.from(values).findIndex((one) => !Number.isFinite(one));

test('the first value that is not finite is found in every float type, wherever the view begins', () => {
  fc.assert(
    fc.property(fc.array(value, { maxLength: 40 }), fc.nat(3), (values, skip) => {
      // a double over the range of float32 becomes infinite there
      const single = new Float32Array([...new Array(skip).fill(Number.NaN), ...values]).subarray(skip);
      expect(indexNotFinite({ dtype: 'float32', data: single })).toBe(firstOf(single));
      const double = new Float64Array([...new Array(skip).fill(Number.NaN), ...values]).subarray(skip);
      expect(indexNotFinite({ dtype: 'float64', data: double })).toBe(firstOf(double));
    }),
  );
});

test('NaN of every sign and payload is found', () => {
  fc.assert(
    fc.property(fc.nat(0x7fffff), fc.boolean(), (payload, isNegative) => {
      const bits = new Uint32Array([
        0x3f800000,
        (0x7f800000 | payload | (isNegative ? 0x80000000 : 0)) >>> 0,
      ]);
      expect(indexNotFinite({ dtype: 'float32', data: new Float32Array(bits.buffer) })).toBe(1);
    }),
  );
});

test('each of the 65,536 values of float16 is told right', () => {
  for (let bits = 0; bits < 0x10000; bits += 1) {
    const expected = ((bits >> 10) & 0x1f) === 0x1f ? 1 : -1;
    expect(indexNotFinite({ dtype: 'float16', data: new Uint16Array([0x3c00, bits]) })).toBe(expected);
  }
});
