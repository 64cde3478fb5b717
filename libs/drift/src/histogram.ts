import assert from 'node:assert';
import type { Bins } from './bins.ts';
import { binCount, binOfNumber, isMissing, readCategory, readNumber } from './bins.ts';

/** What fell into each bin, and what into none. Whole numbers all, so that the order of rows and merges is no matter. */
export type Histogram = {
  readonly counts: readonly number[];
  /** Values that are absent. */
  readonly nulls: number;
  /** Values of another type, such as a text where numbers are, and infinities. */
  readonly mismatched: number;
  /** Numbers under the smallest and over the largest of the reference; they are in `counts` too. */
  readonly below: number;
  readonly above: number;
};

/** A histogram without rows. */
export function emptyHistogram(bins: Bins): Histogram {
  return {
    counts: new Array<number>(binCount(bins)).fill(0),
    nulls: 0,
    mismatched: 0,
    below: 0,
    above: 0,
  };
}

/** The histogram of values of one feature. */
export function countValues(bins: Bins, values: Iterable<unknown>): Histogram {
  const counts = new Array<number>(binCount(bins)).fill(0);
  let [nulls, mismatched, below, above] = [0, 0, 0, 0];
  const places =
    bins.kind === 'category' ? new Map(bins.categories.map((category, i) => [category, i])) : undefined;
  for (const value of values) {
    if (isMissing(value)) {
      nulls += 1;
      continue;
    }
    let bin: number | undefined;
    if (bins.kind === 'number') {
      const read = readNumber(bins.precision, value);
      if (read !== undefined) {
        bin = binOfNumber(bins.edges, read);
        if (read < bins.min) below += 1;
        if (read > bins.max) above += 1;
      }
    } else {
      const category = readCategory(value);
      if (category !== undefined) bin = places?.get(category) ?? bins.categories.length;
    }
    if (bin === undefined) mismatched += 1;
    else counts[bin] = (counts[bin] as number) + 1;
  }
  return { counts, nulls, mismatched, below, above };
}

/** Both histograms as one; they must have the same bins. Associative and commutative, to the last row. */
export function mergeHistograms(a: Histogram, b: Histogram): Histogram {
  assert(a.counts.length === b.counts.length, 'Only histograms with the same bins can be merged.');
  return {
    counts: a.counts.map((count, i) => count + (b.counts[i] as number)),
    nulls: a.nulls + b.nulls,
    mismatched: a.mismatched + b.mismatched,
    below: a.below + b.below,
    above: a.above + b.above,
  };
}

/** Values that fell into a bin. */
export function presentOf({ counts }: Histogram): number {
  return counts.reduce((total, count) => total + count, 0);
}

/** All rows. */
export function rowsOf(histogram: Histogram): number {
  return presentOf(histogram) + histogram.nulls + histogram.mismatched;
}
