import Type from 'typebox';
import { defineOperation, FLOATS, INTEGERS, onlyInput } from '../operation.ts';
import type { ElementType, NumericData, Value } from '../value.ts';
import { newData } from '../value.ts';

const CASTABLE: readonly ElementType[] = [...FLOATS, ...INTEGERS, 'bool'];
type Castable = Exclude<ElementType, 'string' | 'float16'>;

const ranges: Partial<Record<Castable, readonly [number, number]>> = {
  int8: [-128, 127],
  int16: [-32_768, 32_767],
  int32: [-2_147_483_648, 2_147_483_647],
  uint8: [0, 255],
  uint16: [0, 65_535],
  uint32: [0, 4_294_967_295],
};
const longRanges: Partial<Record<Castable, readonly [bigint, bigint]>> = {
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
};

function toLong(element: number | bigint, [low, high]: readonly [bigint, bigint]): bigint {
  if (typeof element === 'number' && !Number.isFinite(element))
    return Number.isNaN(element) ? 0n : element > 0 ? high : low;
  const whole = typeof element === 'bigint' ? element : BigInt(Math.trunc(element));
  return whole < low ? low : whole > high ? high : whole;
}

function toShort(element: number, [low, high]: readonly [number, number]): number {
  // NaN fails every comparison and is stored as 0
  return Math.min(high, Math.max(low, Math.trunc(element)));
}

/**
 * Another element type. Fractions are cut off; what is beyond the range of the type becomes its nearest end and NaN
 * becomes 0; anything but 0 is true. A whole number of 64 bits goes to float32 by way of float64.
 */
export const cast = defineOperation({
  parameters: Type.Object(
    { to: Type.Unsafe<Castable>({ type: 'string', enum: [...CASTABLE] }) },
    { additionalProperties: false },
  ),
  inputs: ['x'],
  outputs: ['y'],
  prepare({ to }, inputs) {
    const spec = onlyInput(inputs, CASTABLE);
    const dtype = to;
    const range = ranges[dtype];
    const longRange = longRanges[dtype];
    return {
      outputs: [{ dtype, shape: spec.shape }],
      run([x]) {
        const { shape, data: given } = x as Value;
        const from = given as NumericData;
        if (spec.dtype === dtype) return [x as Value];
        const data = newData(dtype as 'float32', shape);
        const longs = data as unknown as BigInt64Array;
        for (let i = 0; i < from.length; i += 1) {
          const element = from[i] as number | bigint;
          if (longRange !== undefined) longs[i] = toLong(element, longRange);
          else if (range !== undefined) data[i] = toShort(Number(element), range);
          // the comparison is loose: 0n is no number 0
          else data[i] = dtype === 'bool' ? Number(Number(element) !== 0) : Number(element);
        }
        return [{ dtype: dtype as 'float32', shape, data }];
      },
    };
  },
});
