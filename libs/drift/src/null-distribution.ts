import { chiSquareCritical, chiSquareSurvival } from './chi-square-distribution.ts';
import type { NullDistribution } from './simulated-null.ts';
import { simulateBridge, simulateNull } from './simulated-null.ts';
import type { Counts, StatisticName } from './statistics.ts';
import { isOrdered, sum } from './statistics.ts';

/** Rows, of both sides, from which large-sample distributions are taken. */
const ASYMPTOTIC_FROM = 500;
/** Rows that each bin must expect of the smaller side for them. */
const EXPECTED_MIN = 20;
/** Distributions that are remembered (80 KB each). */
const ENTRIES_MAX = 256;

/** What a null distribution depends on: never on the window's counts, only on its size. */
export type NullOptions = {
  /** Counts of the reference. */
  readonly reference: Counts;
  /** Rows of the window. */
  readonly size: number;
  readonly positions?: Counts | undefined;
  /** Dirichlet weights of the bins, where they are known better than each bin's count and an even share of one more. */
  readonly weights?: Counts | undefined;
};

/** Null distributions of statistics. */
export type NullDistributions = {
  /** Throws nothing; simulating takes about 50 ms the first time. */
  of(statistic: StatisticName, options: NullOptions): NullDistribution;
};

/** Half the sum of squares over shares that a squared distance is near, and PSI and chi-square themselves are. */
const SHRINK: Readonly<Partial<Record<StatisticName, number>>> = {
  'jensen-shannon': 8 * Math.LN2,
  hellinger: 8,
};

/** Distribution of a divergence between two large samples of one law: (1/m + 1/n) times a chi-square variable. */
function asymptotic(statistic: StatisticName, scale: number, degrees: number): NullDistribution {
  const shrink = SHRINK[statistic];
  const factor = statistic === 'chi-square' ? 1 : scale / (shrink ?? 1);
  const square = (value: number): number => (shrink === undefined ? value : value * value);
  let last = { alpha: Number.NaN, critical: 0 };
  return {
    method: 'asymptotic',
    criticalValue(alpha) {
      if (alpha !== last.alpha) {
        const value = chiSquareCritical(alpha, degrees) * factor;
        last = { alpha, critical: shrink === undefined ? value : Math.sqrt(value) };
      }
      return last.critical;
    },
    pValue: (value) => chiSquareSurvival(square(value) / factor, degrees),
  };
}

function build(statistic: StatisticName, options: NullOptions): NullDistribution {
  const { reference, size, positions } = options;
  const bins = reference.length;
  const rows = sum(reference);
  const smaller = Math.min(rows, size);
  let rarest = rows;
  for (let i = 0; i < bins; i += 1) rarest = Math.min(rarest, reference[i] as number);
  if (smaller >= ASYMPTOTIC_FROM && (rarest / rows) * smaller >= EXPECTED_MIN) {
    const scale = 1 / rows + 1 / size;
    return isOrdered(statistic)
      ? simulateBridge(statistic, { reference, scale, positions })
      : asymptotic(statistic, scale, bins - 1);
  }
  const weights = options.weights ?? Float64Array.from(reference, (count) => count + 1 / bins);
  return simulateNull(statistic, { reference, weights, size, positions });
}

/** Null distributions that remember what they simulated, the least recently used forgotten first. */
export function createNullDistributions({ entriesMax = ENTRIES_MAX } = {}): NullDistributions {
  const entries = new Map<string, NullDistribution>();
  const text = (counts: Counts | undefined): string => (counts ? Array.from(counts).join(' ') : '');
  return {
    of(statistic, options) {
      const positions = statistic === 'wasserstein' ? options.positions : undefined;
      const key = [
        statistic,
        options.size,
        text(options.reference),
        text(positions),
        text(options.weights),
      ].join('|');
      const found = entries.get(key) ?? build(statistic, options);
      entries.delete(key);
      entries.set(key, found);
      if (entries.size > entriesMax) entries.delete(entries.keys().next().value as string);
      return found;
    },
  };
}
