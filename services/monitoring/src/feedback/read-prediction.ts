import type { TensorSummary } from '@millrace/contracts';
import { readValues } from '../events/tensor-values.ts';

/** A row of probabilities adds up to 1 within this. */
const SUM_TOLERANCE = 1e-3;
/** Labels longer than this are no classes (characters). */
const LABEL_LENGTH_MAX = 255;
const FLOATS = new Set(['float16', 'float32', 'float64']);

/** What the outputs of one prediction say: probabilities by class, a label, a single number; each where there is one. */
export type ReadPrediction = {
  readonly scores: readonly number[] | undefined;
  readonly label: string | undefined;
  readonly value: number | undefined;
};

/** A class as text: numbers in their shortest form, true and false as 1 and 0; undefined for what names no class. */
export function classLabel(value: unknown): string | undefined {
  if (typeof value === 'boolean') return value ? '1' : '0';
  if (typeof value !== 'string' && !Number.isFinite(value)) return undefined;
  const text = String(value);
  return text === '' || text.length > LABEL_LENGTH_MAX ? undefined : text;
}

/** Values of a tensor of one row; undefined for several rows and for values that did not travel. */
function rowOf(tensor: TensorSummary): readonly unknown[] | undefined {
  const rows = tensor.shape.length > 1 ? tensor.shape[0] : 1;
  return rows === 1 ? readValues(tensor) : undefined;
}

const isShare = (value: unknown): value is number => typeof value === 'number' && value >= 0 && value <= 1;

function isScores(row: readonly unknown[]): row is readonly number[] {
  if (row.length < 2 || !row.every(isShare)) return false;
  return Math.abs(row.reduce((sum, value) => sum + value, 0) - 1) <= SUM_TOLERANCE;
}

/** Reads the outputs of a prediction of one row; of several tensors that would fit, the first. */
export function readPrediction(outputs: readonly TensorSummary[]): ReadPrediction {
  let scores: readonly number[] | undefined;
  let label: string | undefined;
  let value: number | undefined;
  for (const tensor of outputs) {
    const row = rowOf(tensor);
    if (row === undefined) continue;
    const [first] = row;
    if (!FLOATS.has(tensor.dtype)) {
      if (row.length === 1) label ??= classLabel(first);
    } else if (isScores(row)) scores ??= row;
    else if (row.length === 1 && typeof first === 'number') value ??= first;
  }
  return { scores, label, value };
}
