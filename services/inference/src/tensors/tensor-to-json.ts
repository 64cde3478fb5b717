import type { Tensor } from './tensor.ts';
import { elementCount } from './tensor.ts';

const SAFE = BigInt(Number.MAX_SAFE_INTEGER) + 1n;

/** One JSON value of an output: int64 as a number up to 2^53, else as a string; NaN and Infinity as null. */
export type JsonScalar = number | string | boolean | null;
export type JsonTensor = JsonScalar | JsonTensor[];

/** The value of the element at `index` for JSON. */
export function scalarAt(tensor: Tensor, index: number): JsonScalar {
  const value = tensor.data[index];
  if (typeof value === 'bigint') return value >= -SAFE && value <= SAFE ? Number(value) : value.toString();
  if (typeof value === 'string') return value;
  if (tensor.dtype === 'bool') return value === 1;
  if (tensor.dtype === 'float16') return halfToNumber(value as number);
  return Number.isFinite(value) ? shortest(tensor, value as number) : null;
}

/** The shortest decimal that reads back as the same float32, as Python and NumPy print it. */
function shortest(tensor: Tensor, value: number): number {
  if (tensor.dtype !== 'float32') return value;
  for (let digits = 6; digits <= 9; digits += 1) {
    const rounded = Number(value.toPrecision(digits));
    if (Math.fround(rounded) === value) return rounded;
  }
  return value;
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

function nest(values: JsonScalar[], shape: readonly number[]): JsonTensor {
  let level: JsonTensor[] = values;
  for (let axis = shape.length - 1; axis > 0; axis -= 1) {
    const size = shape[axis] as number;
    const next: JsonTensor[] = [];
    for (let at = 0; at < level.length; at += size) next.push(level.slice(at, at + size));
    level = next;
  }
  return level;
}

/**
 * A tensor as nested arrays. A batch of one row loses its row dimension when something is left of it:
 * [1, 2] -> [0.8, 0.2], [1, 1] -> [0.87], [1] -> [7], [3, 2] -> three arrays of two.
 */
export function nestedValues(tensor: Tensor): JsonTensor {
  const { shape } = tensor;
  const values = flatValues(tensor);
  if (shape.length === 0) return values;
  return nest(values, shape.length > 1 && shape[0] === 1 ? shape.slice(1) : shape);
}
