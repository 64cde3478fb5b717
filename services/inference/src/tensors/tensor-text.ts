import { shortestSingle } from '@millrace/contracts';
import type { Tensor } from './tensor.ts';
import { elementCount } from './tensor.ts';
import { scalarAt } from './tensor-to-json.ts';

function floatText(value: number): string {
  if (!Number.isFinite(value)) return 'null';
  return Object.is(value, -0) ? '-0' : `${value}`;
}

/** JSON of the value at `index`; whole numbers of 64 bits to the last digit, NaN and Infinity as null. */
export function valueText(tensor: Tensor, index: number): string {
  const value = tensor.data[index];
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'string') return JSON.stringify(value);
  if (tensor.dtype === 'bool') return value === 1 ? 'true' : 'false';
  if (tensor.dtype === 'float32') return floatText(shortestSingle(value as number));
  if (tensor.dtype === 'float16') return JSON.stringify(scalarAt(tensor, index));
  return floatText(value as number);
}

/** The values in row-major order as the inside of a JSON array. */
export function flatText(tensor: Tensor): string {
  const count = elementCount(tensor.shape);
  if (count === 0) return '';
  let text = valueText(tensor, 0);
  if (tensor.dtype === 'float32') {
    const data = tensor.data as Float32Array;
    for (let i = 1; i < count; i += 1) text += `,${floatText(shortestSingle(data[i] as number))}`;
    return text;
  }
  for (let i = 1; i < count; i += 1) text += `,${valueText(tensor, i)}`;
  return text;
}

const EXACT_MAX = BigInt(Number.MAX_SAFE_INTEGER) + 1n;

/** As `valueText`, but whole numbers that a double would round are texts. */
function roundSafeText(tensor: Tensor, index: number): string {
  const text = valueText(tensor, index);
  const value = tensor.data[index];
  return typeof value === 'bigint' && (value > EXACT_MAX || value < -EXACT_MAX) ? `"${text}"` : text;
}

function nest(tensor: Tensor, shape: readonly number[], axis: number, from: number): string {
  const size = shape[axis] as number;
  const isLeaf = axis === shape.length - 1;
  const width = isLeaf ? 1 : elementCount(shape.slice(axis + 1));
  let text = '[';
  for (let i = 0; i < size; i += 1) {
    if (i > 0) text += ',';
    text += isLeaf ? roundSafeText(tensor, from + i) : nest(tensor, shape, axis + 1, from + i * width);
  }
  return `${text}]`;
}

/**
 * A tensor as nested arrays in JSON. A batch of one row loses its row dimension when something is left of it:
 * [1, 2] -> [0.8,0.2], [1, 1] -> [0.87], [1] -> [7], [3, 2] -> three arrays of two.
 */
export function nestedText(tensor: Tensor): string {
  const { shape } = tensor;
  if (shape.length === 0) return `[${roundSafeText(tensor, 0)}]`;
  return nest(tensor, shape.length > 1 && shape[0] === 1 ? shape.slice(1) : shape, 0, 0);
}
