import { AppError } from '@millrace/contracts';
import Type from 'typebox';
import { AXES_MAX } from '../bounds.ts';
import { invalid } from '../fault.ts';
import { axisOf, defineOperation, onlyInput } from '../operation.ts';
import type { NumericData, Value, ValueSpec } from '../value.ts';
import { countOf, lanesOf, newData, showShape } from '../value.ts';

const Size = Type.Integer({ minimum: 1 });

/** Elements of a row, or of the whole tensor when no axis is free. Throws `invalid_ensemble` when they vary. */
function fixedCount(shape: readonly (number | null)[], what: string): { isPerRow: boolean; count: number } {
  const isPerRow = shape[0] === null;
  const sizes = isPerRow ? shape.slice(1) : shape;
  if (sizes.includes(null)) throw invalid(`${what} ${showShape(shape)} may be free in its rows only.`);
  return { isPerRow, count: countOf(sizes as number[]) };
}

/** The same elements in another shape; a `null` in front keeps the rows. */
export const reshape = defineOperation({
  parameters: Type.Object(
    { shape: Type.Array(Type.Union([Size, Type.Null()]), { minItems: 1, maxItems: AXES_MAX }) },
    { additionalProperties: false },
  ),
  inputs: ['x'],
  outputs: ['y'],
  prepare({ shape }, inputs) {
    const spec = onlyInput(inputs);
    const from = fixedCount(spec.shape, 'its input');
    const to = fixedCount(shape, 'shape');
    if (from.isPerRow !== to.isPerRow || from.count !== to.count)
      throw invalid(
        `${showShape(spec.shape)} cannot become ${showShape(shape)}: the elements of a row differ.`,
      );
    return {
      outputs: [{ dtype: spec.dtype, shape }],
      run([x]) {
        const rows = (x as Value).shape[0] as number;
        return [{ ...(x as Value), shape: shape.map((size) => size ?? rows) }];
      },
    };
  },
});

/** The same elements without axes of size 1. */
export const squeeze = defineOperation({
  parameters: Type.Object(
    { axes: Type.Array(Type.Integer(), { minItems: 1, maxItems: AXES_MAX }) },
    { additionalProperties: false },
  ),
  inputs: ['x'],
  outputs: ['y'],
  prepare({ axes }, inputs) {
    const spec = onlyInput(inputs);
    const left = new Set(axes.map((axis) => axisOf(axis, spec.shape)));
    const long = [...left].find((axis) => spec.shape[axis] !== 1);
    if (long !== undefined)
      throw invalid(`axis ${long} of its input ${showShape(spec.shape)} does not have the fixed size 1.`);
    const keep = <T>(shape: readonly T[]): T[] => shape.filter((_, axis) => !left.has(axis));
    return {
      outputs: [{ dtype: spec.dtype, shape: keep(spec.shape) }],
      run: ([x]) => [{ ...(x as Value), shape: keep((x as Value).shape) }],
    };
  },
});

/** The inputs x0, x1, … one after the other along an axis other than the rows. */
export const concat = defineOperation({
  parameters: Type.Object({ axis: Type.Optional(Type.Integer()) }, { additionalProperties: false }),
  inputs: 'many',
  outputs: ['y'],
  prepare({ axis = -1 }, inputs) {
    const [first, ...others] = inputs as [ValueSpec, ...ValueSpec[]];
    const at = axisOf(axis, first.shape);
    if (at === 0) throw invalid('it cannot join along axis 0, which are the rows of a request.');
    for (const [i, other] of others.entries()) {
      if (other.dtype !== first.dtype)
        throw invalid(`x${i + 1} is ${other.dtype}, but x0 is ${first.dtype}; put a cast before it.`);
      const isAlike =
        other.shape.length === first.shape.length &&
        other.shape.every(
          (size, j) => j === at || size === null || first.shape[j] === null || size === first.shape[j],
        );
      if (!isAlike)
        throw invalid(
          `x${i + 1} ${showShape(other.shape)} differs from x0 ${showShape(first.shape)} beside axis ${at}.`,
        );
    }
    const sizes = inputs.map((input) => input.shape[at] as number | null);
    const size = sizes.includes(null) ? null : (sizes as number[]).reduce((sum, one) => sum + one, 0);
    const { dtype } = first;
    return {
      outputs: [{ dtype, shape: first.shape.map((own, j) => (j === at ? size : own)) }],
      run(values) {
        const parts = values.map(({ shape, data }) => ({ lanes: lanesOf(shape, at), shape, data }));
        const [{ lanes, shape: own }] = parts as [(typeof parts)[number]];
        const total = parts.reduce((sum, part) => sum + part.lanes.size, 0);
        const odd = parts.find(({ lanes: of }) => of.outer !== lanes.outer || of.inner !== lanes.inner);
        if (odd !== undefined)
          throw new AppError(
            'inference_failed',
            `tensors of ${showShape(own)} and ${showShape(odd.shape)} cannot be joined.`,
          );
        const shape = own.map((one, j) => (j === at ? total : one));
        if (dtype === 'string') {
          const data: string[] = [];
          for (let block = 0; block < lanes.outer; block += 1) {
            for (const part of parts) {
              const width = part.lanes.size * lanes.inner;
              for (let i = 0; i < width; i += 1) data.push(part.data[block * width + i] as string);
            }
          }
          return [{ dtype, shape, data }];
        }
        const data = newData(dtype as 'float32', shape);
        let to = 0;
        for (let block = 0; block < lanes.outer; block += 1) {
          for (const part of parts) {
            const width = part.lanes.size * lanes.inner;
            data.set((part.data as Float32Array).subarray(block * width, (block + 1) * width), to);
            to += width;
          }
        }
        return [{ dtype: dtype as Exclude<typeof dtype, 'string'>, shape, data: data as NumericData }];
      },
    };
  },
});
