import { CATEGORY_LENGTH_MAX, MAGNITUDE_MAX } from './bounds.ts';

/** Bins of numbers: the value x lies right of every edge that is not over it. */
export type NumberBins = {
  readonly kind: 'number';
  /** `single` rounds values to float32 first, as a model that takes float32 sees them. */
  readonly precision: 'single' | 'double';
  /** Ascending; one fewer than there are bins. */
  readonly edges: readonly number[];
  /** Smallest and largest value of the reference. */
  readonly min: number;
  readonly max: number;
};

/** A bin for each category, and a last one for all others. */
export type CategoryBins = { readonly kind: 'category'; readonly categories: readonly string[] };

export type Bins = NumberBins | CategoryBins;

/** How many bins there are. */
export function binCount(bins: Bins): number {
  return bins.kind === 'number' ? bins.edges.length + 1 : bins.categories.length + 1;
}

/** A number as its bins take it; undefined for what is none, or too large to be squared. */
export function readNumber(precision: NumberBins['precision'], value: unknown): number | undefined {
  if (typeof value !== 'number') return undefined;
  // -0 and 0 are one value
  const read = (precision === 'single' ? Math.fround(value) : value) + 0;
  return Math.abs(read) <= MAGNITUDE_MAX ? read : undefined;
}

/** Whether there is no value: null, undefined or not a number. */
export function isMissing(value: unknown): boolean {
  return value === null || value === undefined || Number.isNaN(value);
}

/** The category of a value: texts as they are, truth values and numbers as JSON writes them; undefined for others. */
export function readCategory(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return typeof value === 'boolean' || typeof value === 'number' ? String(value) : undefined;
}

/** Whether a category may have a count of its own. */
export const isOwnCategory = (category: string): boolean => category.length <= CATEGORY_LENGTH_MAX;

/** The bin of a number: how many edges are not over it. */
export function binOfNumber(edges: ArrayLike<number>, value: number): number {
  let [low, high] = [0, edges.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((edges[middle] as number) <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}
