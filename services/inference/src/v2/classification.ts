import { AppError } from '@millrace/contracts';
import type { Tensor } from '../tensors/tensor.ts';
import { valueText } from '../tensors/tensor-text.ts';

/** Places of the `classes` largest of `count` values from `from` on, the largest first; of equal ones the first. */
function largest(data: ArrayLike<number | bigint>, from: number, count: number, classes: number): number[] {
  const valueAt = (index: number): number | bigint => {
    const value = data[from + index] as number | bigint;
    // NaN is never among the largest unless nothing else is left
    return Number.isNaN(value) ? Number.NEGATIVE_INFINITY : value;
  };
  const order = Array.from({ length: count }, (_, index) => index);
  order.sort((a, b) => {
    const [left, right] = [valueAt(a), valueAt(b)];
    return left === right ? a - b : left > right ? -1 : 1;
  });
  return order.slice(0, classes);
}

/**
 * The classification extension: the largest values of an output as texts `value:index` or `value:index:label`, for each
 * row where `hasRows`. Throws `invalid_request` for an output of texts or truth values.
 */
export function classify(
  tensor: Tensor,
  classes: number,
  labels: readonly string[] | undefined,
  hasRows: boolean,
): Tensor {
  const { name, dtype, shape } = tensor;
  if (tensor.dtype === 'string' || dtype === 'bool' || dtype === 'float16') {
    throw new AppError(
      'invalid_request',
      `Output "${name}" is ${dtype}, which has no classes; ask for the tensor.`,
    );
  }
  const rows = hasRows ? (shape[0] as number) : 1;
  const width = tensor.data.length / Math.max(1, rows);
  const count = Math.min(classes, width);
  const own = labels?.length === width ? labels : undefined;
  const data: string[] = [];
  for (let row = 0; row < rows; row += 1) {
    for (const index of largest(tensor.data, row * width, width, count)) {
      const text = `${valueText(tensor, row * width + index)}:${index}`;
      data.push(own === undefined ? text : `${text}:${own[index]}`);
    }
  }
  return { name, dtype: 'string', shape: hasRows ? [rows, count] : [count], data };
}
