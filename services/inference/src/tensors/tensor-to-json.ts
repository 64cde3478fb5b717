import { shortestSingle } from './shortest-single.ts';
import type { Tensor } from './tensor.ts';
import { elementCount } from './tensor.ts';

const SAFE = BigInt(Number.MAX_SAFE_INTEGER) + 1n;

/** One JSON value of an output: int64 as a number up to 2^53, else as a string; NaN and Infinity as null. */
export type JsonScalar = number | string | boolean | null;

/** The value of the element at `index` for JSON. */
export function scalarAt(tensor: Tensor, index: number): JsonScalar {
  const value = tensor.data[index];
  if (typeof value === 'bigint') return value >= -SAFE && value <= SAFE ? Number(value) : value.toString();
  if (typeof value === 'string') return value;
  if (tensor.dtype === 'bool') return value === 1;
  if (tensor.dtype === 'float16') return halfToNumber(value as number);
  if (!Number.isFinite(value)) return null;
  return tensor.dtype === 'float32' ? shortestSingle(value as number) : (value as number);
}

function halfToNumber(bits: number): number | null {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 31) return null;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** All values in row-major order. */
export function flatValues(tensor: Tensor): JsonScalar[] {
  return Array.from({ length: elementCount(tensor.shape) }, (_, index) => scalarAt(tensor, index));
}
