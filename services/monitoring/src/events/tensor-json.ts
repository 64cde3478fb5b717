import type { TensorSummary } from '@millrace/contracts';
import { readValues } from './tensor-values.ts';

function nest(values: unknown[], shape: readonly number[]): unknown {
  let level = values;
  for (let axis = shape.length - 1; axis > 0; axis -= 1) {
    const size = Math.max(1, shape[axis] as number);
    level = Array.from({ length: level.length / size }, (_, i) => level.slice(i * size, (i + 1) * size));
  }
  return level;
}

/**
 * Tensors of a prediction as one JSON text: the values by name, nested as `/predict` gives them (one row without its
 * row dimension); a tensor that was too large to travel by digest, shape and dtype.
 */
export function tensorsAsJson(tensors: readonly TensorSummary[]): string {
  const entries = tensors.map((tensor) => {
    const { name, shape, dtype, sha256 } = tensor;
    const values = readValues(tensor);
    if (values === undefined) return [name, { dtype, shape, sha256 }];
    return [name, nest(values, shape.length > 1 && shape[0] === 1 ? shape.slice(1) : shape)];
  });
  return JSON.stringify(Object.fromEntries(entries));
}
