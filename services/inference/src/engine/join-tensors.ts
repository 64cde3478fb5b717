import type { NumericData } from '../tensors/dtype.ts';
import { allocate } from '../tensors/dtype.ts';
import type { Tensor } from '../tensors/tensor.ts';
import { elementCount } from '../tensors/tensor.ts';

/** Whether the inputs of two requests can become rows of one run: all sizes but the number of rows are equal. */
export function canJoin(a: readonly Tensor[], b: readonly Tensor[]): boolean {
  return a.every((tensor, i) => {
    const other = b[i]?.shape;
    return (
      other?.length === tensor.shape.length &&
      tensor.shape.every((size, axis) => axis === 0 || other[axis] === size)
    );
  });
}

/** The rows of several tensors of one input, one after the other; a single one is not copied. */
export function joinRows(parts: readonly Tensor[]): Tensor {
  const [first] = parts as [Tensor, ...Tensor[]];
  if (parts.length === 1) return first;
  const rows = parts.reduce((total, part) => total + (part.shape[0] as number), 0);
  const shape = [rows, ...first.shape.slice(1)];
  if (first.dtype === 'string') {
    return { name: first.name, dtype: 'string', shape, data: parts.flatMap((part) => part.data as string[]) };
  }
  const data = allocate(first.dtype, elementCount(shape));
  let at = 0;
  for (const part of parts) {
    (data as { set(values: NumericData, at: number): void }).set(part.data as NumericData, at);
    at += part.data.length;
  }
  return { name: first.name, dtype: first.dtype, shape, data };
}

/** Rows `from` to `to` of a tensor, in memory of their own. */
export function sliceRows(tensor: Tensor, from: number, to: number): Tensor {
  const rows = tensor.shape[0] as number;
  if (from === 0 && to === rows) return tensor;
  const width = tensor.data.length / rows;
  return {
    ...tensor,
    shape: [to - from, ...tensor.shape.slice(1)],
    data: tensor.data.slice(from * width, to * width),
  } as Tensor;
}
