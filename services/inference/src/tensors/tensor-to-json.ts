import { halfScalar, shortestSingle, wholeScalar } from '@millrace/contracts';
import type { Tensor } from './tensor.ts';
import { elementCount } from './tensor.ts';

/** One JSON value of an output: int64 as a number up to 2^53, else as a string; NaN and Infinity as null. */
export type JsonScalar = number | string | boolean | null;

/** The value of the element at `index` for JSON. */
export function scalarAt(tensor: Tensor, index: number): JsonScalar {
  const value = tensor.data[index];
  if (typeof value === 'bigint') return wholeScalar(value);
  if (typeof value === 'string') return value;
  if (tensor.dtype === 'bool') return value === 1;
  if (tensor.dtype === 'float16') return halfScalar(value as number);
  if (!Number.isFinite(value)) return null;
  return tensor.dtype === 'float32' ? shortestSingle(value as number) : (value as number);
}

/** All values in row-major order. */
export function flatValues(tensor: Tensor): JsonScalar[] {
  return Array.from({ length: elementCount(tensor.shape) }, (_, index) => scalarAt(tensor, index));
}
