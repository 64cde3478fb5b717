import Type from 'typebox';
import { invalid } from '../fault.ts';
import { axisOf, defineOperation, FLOATS, fixedSize, INTEGERS, onlyInput } from '../operation.ts';
import type { ElementType, NumericData, Value } from '../value.ts';
import { lanesOf, newData } from '../value.ts';

const NUMBERS: readonly ElementType[] = [...FLOATS, ...INTEGERS];

/** Whether `a` ranks before `b`: larger first, NaN before every number, as NumPy has it. */
function isAbove(a: number | bigint, b: number | bigint): boolean {
  return a > b || (Number.isNaN(a) && !Number.isNaN(b));
}

/** int64 index of the largest element along an axis; of equal ones the lowest index, and NaN counts as the largest. */
export const argMax = defineOperation({
  parameters: Type.Object(
    { axis: Type.Optional(Type.Integer()), keepDims: Type.Optional(Type.Boolean()) },
    { additionalProperties: false },
  ),
  inputs: ['x'],
  outputs: ['y'],
  prepare({ axis = -1, keepDims = false }, inputs) {
    const spec = onlyInput(inputs, NUMBERS);
    const at = axisOf(axis, spec.shape);
    const reduce = <T>(shape: readonly T[]): (T | 1)[] =>
      shape.flatMap((size, i): (T | 1)[] => (i === at ? (keepDims ? [1] : []) : [size]));
    return {
      outputs: [{ dtype: 'int64', shape: reduce(spec.shape) }],
      mixesRows: at === 0,
      run([x]) {
        const from = (x as Value).data as NumericData;
        const given = (x as Value).shape;
        const shape = reduce(given);
        const data = newData('int64', shape);
        const { outer, size, inner } = lanesOf(given, at);
        for (let block = 0; block < outer; block += 1) {
          for (let lane = 0; lane < inner; lane += 1) {
            const start = block * size * inner + lane;
            let best = 0;
            for (let i = 1; i < size; i += 1) {
              const next = from[start + i * inner] as number;
              if (isAbove(next, from[start + best * inner] as number)) best = i;
            }
            data[block * inner + lane] = BigInt(best);
          }
        }
        return [{ dtype: 'int64', shape, data }];
      },
    };
  },
});

/**
 * The k largest elements along the last axis, largest first, and their int64 indices; of equal ones the lowest index
 * comes first, and NaN counts as the largest.
 */
export const topK = defineOperation({
  parameters: Type.Object({ k: Type.Integer({ minimum: 1 }) }, { additionalProperties: false }),
  inputs: ['x'],
  outputs: ['values', 'indices'],
  prepare({ k }, inputs) {
    const spec = onlyInput(inputs, NUMBERS);
    const size = fixedSize(spec.shape, axisOf(-1, spec.shape));
    if (k > size) throw invalid(`k is ${k}, but the last axis of its input has ${size} elements.`);
    const dtype = spec.dtype as 'float32';
    const outShape = <T>(shape: readonly T[]): (T | number)[] => [...shape.slice(0, -1), k];
    return {
      outputs: [
        { dtype, shape: outShape(spec.shape) },
        { dtype: 'int64', shape: outShape(spec.shape) },
      ],
      run([x]) {
        const from = (x as Value).data as Float32Array;
        const shape = outShape((x as Value).shape);
        const values = newData(dtype, shape);
        const indices = newData('int64', shape);
        const order = new Uint32Array(size);
        for (let row = 0; row * size < from.length; row += 1) {
          const start = row * size;
          const at = (i: number): number => from[start + i] as number;
          for (let i = 0; i < size; i += 1) order[i] = i;
          order.sort((a, b) => (isAbove(at(a), at(b)) ? -1 : isAbove(at(b), at(a)) ? 1 : a - b));
          for (let i = 0; i < k; i += 1) {
            values[row * k + i] = at(order[i] as number);
            indices[row * k + i] = BigInt(order[i] as number);
          }
        }
        return [
          { dtype, shape, data: values },
          { dtype: 'int64', shape, data: indices },
        ];
      },
    };
  },
});
