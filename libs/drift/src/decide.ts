import type { NullDistributions } from './null-distribution.ts';
import type { Comparison, Counts, StatisticName } from './statistics.ts';
import { measure, sum } from './statistics.ts';

/**
 * Effects under which a change is not worth an alarm however certain it is. They are about equally strict: each is near
 * a PSI of 0.1.
 */
export const EFFECT_FLOORS: Readonly<Record<StatisticName, number>> = {
  psi: 0.1,
  'jensen-shannon': 0.1,
  hellinger: 0.1,
  'chi-square': 0.3,
  'kolmogorov-smirnov': 0.1,
  wasserstein: 0.1,
};

/** One comparison before those of other features are known. */
export type Finding = {
  readonly statistic: StatisticName;
  readonly value: number;
  /** What the value passes by chance with a probability of at most alpha, at these sizes. */
  readonly criticalValue: number;
  /** Probability of such a value by chance. */
  readonly pValue: number;
  /** How large the change is, whatever the sizes. */
  readonly effect: number;
  readonly referenceSize: number;
  readonly currentSize: number;
  /** Where the critical value comes from: a large-sample distribution or simulated windows. */
  readonly method: 'asymptotic' | 'simulated';
};

/**
 * Compares two histograms with the same bins. Effects: PSI and distances are their own; chi-square's is Cohen's w, the
 * root of what it is per row; Wasserstein's is in standard deviations of the reference (`unit`).
 */
export function find(
  statistic: StatisticName,
  comparison: Comparison,
  options: {
    alpha: number;
    distributions: NullDistributions;
    unit?: number | undefined;
    weights?: Counts | undefined;
  },
): Finding {
  const { reference, current, positions } = comparison;
  const referenceSize = sum(reference);
  const currentSize = sum(current);
  const value = measure(statistic, comparison);
  const distribution = options.distributions.of(statistic, {
    reference,
    size: currentSize,
    positions,
    weights: options.weights,
  });
  return {
    statistic,
    value,
    criticalValue: distribution.criticalValue(options.alpha),
    pValue: distribution.pValue(value),
    effect: effectOf(statistic, value, { referenceSize, currentSize, unit: options.unit }),
    referenceSize,
    currentSize,
    method: distribution.method,
  };
}

function effectOf(
  statistic: StatisticName,
  value: number,
  about: { referenceSize: number; currentSize: number; unit: number | undefined },
): number {
  if (statistic === 'chi-square') return Math.sqrt(value * (1 / about.referenceSize + 1 / about.currentSize));
  // a feature that never varied has no standard deviation; its distance is then in its own unit
  return statistic === 'wasserstein' ? value / (about.unit || 1) : value;
}
