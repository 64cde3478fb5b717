import type { Tensor } from '../tensors/tensor.ts';
import { scalarAt } from '../tensors/tensor-to-json.ts';

/** A row of probabilities adds up to 1 within this. */
const SUM_TOLERANCE = 1e-3;

function isFloat(tensor: Tensor): boolean {
  return tensor.dtype === 'float32' || tensor.dtype === 'float64';
}

function rowOf(tensor: Tensor): number[] | undefined {
  if (!isFloat(tensor)) return undefined;
  const rows = tensor.shape.length > 1 ? (tensor.shape[0] as number) : 1;
  if (rows !== 1) return undefined;
  // as the answer prints them, so that the confidence is one of its values; NaN is no share and never wins
  return Array.from({ length: tensor.data.length }, (_, index) =>
    Number(scalarAt(tensor, index) ?? Number.NaN),
  );
}

const isShare = (value: number): boolean => value >= 0 && value <= 1;

/**
 * How sure a model is of a single row: the maximum of a probability vector (values in [0, 1] that add up to 1 within
 * 0.001), else the value of a single output in [0, 1]; null for anything else, and for several rows.
 */
export function confidenceOf(outputs: readonly Tensor[]): number | null {
  const rows = outputs.map(rowOf).filter((row) => row !== undefined);
  for (const row of rows) {
    const sum = row.reduce((total, value) => total + value, 0);
    if (row.length > 1 && row.every(isShare) && Math.abs(sum - 1) <= SUM_TOLERANCE) return Math.max(...row);
  }
  const single = rows.find((row) => row.length === 1 && isShare(row[0] as number));
  return single?.[0] ?? null;
}
