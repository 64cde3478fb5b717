import type { DType } from '../tensors/dtype.ts';
import type { Tensor } from '../tensors/tensor.ts';
import { scalarAt } from '../tensors/tensor-to-json.ts';

/** How far two answers are apart. */
export type Difference = {
  /** Over all values of float outputs; 0 without any. Values that are not finite in both answers count as equal. */
  maxAbs: number;
  meanAbs: number;
  /** Labels: values of outputs that are no floats, else the place of the largest value of each row. */
  labels: number;
  labelsEqual: number;
};

const FLOATS: ReadonlySet<DType> = new Set(['float32', 'float64', 'float16']);

const valueAt = (tensor: Tensor, index: number): number =>
  tensor.dtype === 'float16' ? Number(scalarAt(tensor, index) ?? Number.NaN) : Number(tensor.data[index]);

function isAlike(a: Tensor, b: Tensor | undefined): b is Tensor {
  return (
    b !== undefined &&
    a.dtype === b.dtype &&
    a.shape.length === b.shape.length &&
    a.shape.every((size, axis) => size === b.shape[axis])
  );
}

/** The place of the largest value of a row; -1 when none is a number. */
function largestAt(tensor: Tensor, from: number, width: number): number {
  let at = -1;
  for (let i = 0; i < width; i += 1) {
    const value = valueAt(tensor, from + i);
    if (!Number.isNaN(value) && (at < 0 || value > valueAt(tensor, from + at))) at = i;
  }
  return at;
}

/** Labels of an output: its own values, or the classes of its rows; a single value a row is no class. */
function compareLabels(a: Tensor, b: Tensor, found: Difference): void {
  if (!FLOATS.has(a.dtype)) {
    found.labels += a.data.length;
    for (let i = 0; i < a.data.length; i += 1) if (a.data[i] === b.data[i]) found.labelsEqual += 1;
    return;
  }
  const width = a.shape.at(-1) ?? 1;
  if (width < 2) return;
  for (let from = 0; from < a.data.length; from += width) {
    found.labels += 1;
    if (largestAt(a, from, width) === largestAt(b, from, width)) found.labelsEqual += 1;
  }
}

/** Compares the outputs that both have asked for; null when they do not fit each other. */
export function differenceOf(answer: readonly Tensor[], other: readonly Tensor[]): Difference | null {
  const pairs: [Tensor, Tensor][] = [];
  for (const tensor of answer) {
    const twin = other.find(({ name }) => name === tensor.name);
    if (!isAlike(tensor, twin)) return null;
    pairs.push([tensor, twin]);
  }
  const found = { maxAbs: 0, meanAbs: 0, labels: 0, labelsEqual: 0 };
  let values = 0;
  let sum = 0;
  for (const [a, b] of pairs) {
    if (!FLOATS.has(a.dtype)) continue;
    for (let i = 0; i < a.data.length; i += 1) {
      const [left, right] = [valueAt(a, i), valueAt(b, i)];
      const isEqual = left === right || (!Number.isFinite(left) && !Number.isFinite(right));
      const apart = isEqual ? 0 : Math.abs(left - right);
      const finite = Number.isFinite(apart) ? apart : Number.MAX_VALUE;
      found.maxAbs = Math.max(found.maxAbs, finite);
      sum = Math.min(Number.MAX_VALUE, sum + finite);
    }
    values += a.data.length;
  }
  found.meanAbs = values === 0 ? 0 : sum / values;
  const labelled = pairs.filter(([{ dtype }]) => !FLOATS.has(dtype));
  for (const [a, b] of labelled.length > 0 ? labelled : pairs) compareLabels(a, b, found);
  return found;
}
