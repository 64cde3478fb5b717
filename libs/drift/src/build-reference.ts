import { AppError } from '@millrace/contracts';
import type { NumberBins } from './bins.ts';
import { isMissing, isOwnCategory, readCategory, readNumber } from './bins.ts';
import {
  BINS_DEFAULT,
  BINS_MAX,
  CATEGORIES_MAX,
  FEATURES_MAX,
  GRID_STEPS,
  MAGNITUDE_MAX,
  REFERENCE_ROWS_MAX,
  SIZE_MIN,
} from './bounds.ts';
import { countValues } from './histogram.ts';
import { quantileEdges } from './quantile-edges.ts';
import type { CategoryReference, DriftReference, FeatureReference, NumberReference } from './reference.ts';
import { REFERENCE_FORMAT } from './reference.ts';

/** The values of a feature, row by row. */
export type FeatureColumn = {
  readonly name: string;
  readonly values: ArrayLike<unknown>;
  /** As numbers when every value is one, else as categories. */
  readonly kind?: 'number' | 'category' | undefined;
  /** `single` for what a model takes as float32 (default `double`). */
  readonly precision?: NumberBins['precision'] | undefined;
};

const invalid = (message: string): AppError => new AppError('invalid_request', message);

function describeNumbers(column: FeatureColumn, bins: number): NumberReference {
  const { name, values, precision = 'double' } = column;
  const numbers: number[] = [];
  let nulls = 0;
  for (let row = 0; row < values.length; row += 1) {
    const number = readNumber(precision, values[row]);
    if (number !== undefined) numbers.push(number);
    else if (isMissing(values[row])) nulls += 1;
    else
      throw invalid(
        `Feature "${name}" has a value in row ${row} that is no number up to ${MAGNITUDE_MAX}; correct it, leave it out with null, or take the feature as a category.`,
      );
  }
  const sorted = Float64Array.from(numbers).sort();
  const [min, max] = [sorted[0] as number, sorted.at(-1) as number];
  const edges = quantileEdges(sorted, bins);
  const { counts } = countValues({ kind: 'number', precision, edges, min, max }, sorted);
  let from = 0;
  const means = counts.map((count) => {
    const part = sorted.subarray(from, from + count);
    from += count;
    return meanOf(part);
  });
  const mean = meanOf(sorted);
  const deviation = Math.sqrt(
    sorted.reduce((total, value) => total + (value - mean) ** 2, 0) / sorted.length,
  );
  const grid = Array.from(
    { length: GRID_STEPS + 1 },
    (_, i) => sorted[Math.round((i * (sorted.length - 1)) / GRID_STEPS)] as number,
  );
  return {
    name,
    kind: 'number',
    precision,
    edges,
    counts: [...counts],
    means,
    nulls,
    min,
    max,
    deviation,
    grid,
  };
}

/** Mean of sorted values, between the smallest and the largest whatever rounding does. */
function meanOf(sorted: Float64Array): number {
  const [low, high] = [sorted[0] as number, sorted.at(-1) as number];
  let over = 0;
  for (const value of sorted) over += value - low;
  return Math.min(low + over / sorted.length, high);
}

function describeCategories(column: FeatureColumn): CategoryReference {
  const { name, values } = column;
  const counted = new Map<string, number>();
  let nulls = 0;
  for (let row = 0; row < values.length; row += 1) {
    const category = readCategory(values[row]);
    if (isMissing(values[row])) nulls += 1;
    else if (category === undefined)
      throw invalid(`Feature "${name}" has a value in row ${row} that is no text, number or truth value.`);
    else counted.set(category, (counted.get(category) ?? 0) + 1);
  }
  const ranked = [...counted].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
  const own = ranked.filter(([category]) => isOwnCategory(category)).slice(0, CATEGORIES_MAX);
  const owned = own.reduce((total, [, count]) => total + count, 0);
  return {
    name,
    kind: 'category',
    categories: own.map(([category]) => category),
    counts: [...own.map(([, count]) => count), values.length - nulls - owned],
    nulls,
  };
}

/** What a column is by its values: numbers if each is one, nothing if it has none. */
function kindOf({ values }: FeatureColumn): 'number' | 'category' | undefined {
  let kind: 'number' | undefined;
  for (let row = 0; row < values.length; row += 1) {
    if (isMissing(values[row])) continue;
    if (typeof values[row] !== 'number') return 'category';
    kind = 'number';
  }
  return kind;
}

function describe(column: FeatureColumn, bins: number): FeatureReference {
  const found = kindOf(column);
  // a column without a value has no smallest one, so it can only be described as categories
  const kind = found === undefined ? 'category' : (column.kind ?? found);
  return kind === 'number' ? describeNumbers(column, bins) : describeCategories(column);
}

/**
 * The reference that columns of equal length give; the order of their rows does not matter. Throws `invalid_request` for
 * too few or too many rows or features, columns of other lengths, and values that do not fit the kind of their feature.
 */
export function buildReference(
  columns: readonly FeatureColumn[],
  { bins = BINS_DEFAULT }: { bins?: number | undefined } = {},
): DriftReference {
  if (!(Number.isInteger(bins) && bins >= 2 && bins <= BINS_MAX))
    throw invalid(`A reference has 2 to ${BINS_MAX} bins, not ${bins}.`);
  const [first] = columns;
  if (first === undefined || columns.length > FEATURES_MAX)
    throw invalid(`A reference has 1 to ${FEATURES_MAX} features, not ${columns.length}.`);
  const rows = first.values.length;
  if (rows < SIZE_MIN || rows > REFERENCE_ROWS_MAX)
    throw invalid(`A reference is made of ${SIZE_MIN} to ${REFERENCE_ROWS_MAX} rows, not ${rows}.`);
  const names = new Set<string>();
  for (const { name, values } of columns) {
    if (values.length !== rows)
      throw invalid(`Feature "${name}" has ${values.length} rows, "${first.name}" has ${rows}.`);
    if (names.has(name)) throw invalid(`Feature "${name}" is there twice.`);
    names.add(name);
  }
  return {
    format: REFERENCE_FORMAT,
    rows,
    features: columns.map((column) => describe(column, bins)),
  };
}
