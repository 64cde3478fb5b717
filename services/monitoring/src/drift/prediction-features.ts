import type { Prediction, TensorSummary } from '@millrace/contracts';
import type { FeatureColumn } from '@millrace/drift';
import { FEATURES_MAX } from '@millrace/drift';
import { readValues } from '../events/tensor-values.ts';

/** What of a prediction features are read from. */
export type Tensors = Pick<Prediction, 'inputs' | 'outputs'>;

/** The values of one feature in the rows of one prediction. */
export type FeatureValues = {
  readonly name: string;
  readonly dtype: string;
  readonly values: readonly unknown[];
};

/** Types whose values are not rounded to float32 before they are compared. */
const DOUBLE = new Set(['float64', 'int32', 'int64', 'uint32', 'uint64']);

/** Whole numbers that are too large for JSON's come as texts. */
const WHOLE = /^-?\d+$/;

function valuesOf(tensor: TensorSummary): readonly unknown[] | undefined {
  const values = readValues(tensor);
  if (!tensor.dtype.includes('int64')) return values;
  return values?.map((value) => (typeof value === 'string' && WHOLE.test(value) ? Number(value) : value));
}

function* featuresOf(side: 'inputs' | 'outputs', tensor: TensorSummary): Generator<FeatureValues> {
  const { name, dtype, shape } = tensor;
  const values = valuesOf(tensor);
  if (values === undefined || values.length === 0) return;
  // the first axis is that of rows, unless it is the only one
  const rows = shape.length > 1 ? (shape[0] as number) : 1;
  const width = values.length / rows;
  if (!Number.isInteger(width) || width > FEATURES_MAX) return;
  if (width === 1) yield { name: `${side}.${name}`, dtype, values };
  else
    for (let i = 0; i < width; i += 1)
      yield {
        name: `${side}.${name}[${i}]`,
        dtype,
        values: Array.from({ length: rows }, (_, row) => values[row * width + i]),
      };
}

/**
 * The features of a prediction: every element of a row of its inputs and outputs, `inputs.x[2]` is the third of the
 * input x. Tensors whose values did not travel, or that are wider than a reference can be, have none.
 */
export function* readFeatures({ inputs, outputs }: Tensors): Generator<FeatureValues> {
  for (const tensor of inputs) yield* featuresOf('inputs', tensor);
  for (const tensor of outputs) yield* featuresOf('outputs', tensor);
}

/** Rows of predictions as columns of features. */
export type FeatureTable = {
  /** False once it is full: the prediction was not taken. */
  add(prediction: Tensors): boolean;
  columns(): FeatureColumn[];
  /** Features that there was no room for. */
  readonly skipped: number;
};

/** Gathers at most `valuesMax` values; a feature that some rows do not have is null there. */
export function createFeatureTable(valuesMax: number): FeatureTable {
  const columns = new Map<string, { values: unknown[]; precision: 'single' | 'double' }>();
  const skipped = new Set<string>();
  let rows = 0;

  function columnOf({ name, dtype }: FeatureValues) {
    const known = columns.get(name);
    if (known !== undefined) return known;
    if (columns.size === FEATURES_MAX) {
      skipped.add(name);
      return undefined;
    }
    const column = { values: [], precision: DOUBLE.has(dtype) ? ('double' as const) : ('single' as const) };
    columns.set(name, column);
    return column;
  }

  function pad(values: unknown[]): void {
    while (values.length < rows) values.push(null);
  }

  return {
    add(prediction) {
      const features = [...readFeatures(prediction)];
      const added = Math.max(0, ...features.map(({ values }) => values.length));
      if ((rows + added) * Math.max(columns.size, features.length) > valuesMax) return false;
      for (const feature of features) {
        const column = columnOf(feature);
        if (column === undefined) continue;
        pad(column.values);
        column.values.push(...feature.values);
      }
      rows += added;
      return true;
    },
    columns() {
      return [...columns].map(([name, { values, precision }]) => {
        pad(values);
        return { name, values, precision };
      });
    },
    get skipped() {
      return skipped.size;
    },
  };
}
