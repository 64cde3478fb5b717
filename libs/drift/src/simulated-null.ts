import { createRandom, drawGamma, drawMultinomial } from './random.ts';
import type { Counts, StatisticName } from './statistics.ts';
import { measure, sum } from './statistics.ts';

/** Windows that are simulated: at the level 0.01 the standard error of the level is 0.001. */
export const SIMULATIONS = 9_999;
/** Largest simulated values: beyond them p-values follow an exponential tail, so that they can be smaller than 1e-4. */
const TAIL = 100;
/** Every simulation begins here, so that a decision can be made again. */
const SEED = 20_261_122;

/** How a statistic is distributed as long as nothing has changed. */
export type NullDistribution = {
  readonly method: 'asymptotic' | 'simulated';
  /** What the statistic passes with a probability of at most `alpha`, in (0, 1). */
  criticalValue(alpha: number): number;
  /** Probability of a value at least as large. */
  pValue(value: number): number;
};

/** Statistics that are distances have a square that behaves like a sum of squares; the others are one themselves. */
const isDistance = (statistic: StatisticName): boolean => statistic !== 'psi' && statistic !== 'chi-square';

/** The distribution that simulated values of a statistic show. */
export function nullOfValues(
  values: Float64Array,
  statistic: StatisticName,
  method: NullDistribution['method'],
): NullDistribution {
  const sorted = values.sort().reverse();
  const toSquare = (value: number): number => (isDistance(statistic) ? value * value : value);
  const tailAlpha = TAIL / (sorted.length + 1);
  const tailFrom = sorted[TAIL - 1] as number;
  let excess = 0;
  for (let i = 0; i < TAIL; i += 1) excess += toSquare(sorted[i] as number) - toSquare(tailFrom);
  excess /= TAIL;

  /** How many simulated values are at least as large. */
  function countAtLeast(value: number): number {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sorted[middle] as number) >= value) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  return {
    method,
    criticalValue(alpha) {
      if (alpha >= tailAlpha || excess === 0)
        return sorted[Math.max(0, Math.floor(alpha * (sorted.length + 1)) - 1)] as number;
      const square = toSquare(tailFrom) + excess * Math.log(tailAlpha / alpha);
      return isDistance(statistic) ? Math.sqrt(square) : square;
    },
    pValue(value) {
      if (value <= tailFrom || excess === 0) return (countAtLeast(value) + 1) / (sorted.length + 1);
      return tailAlpha * Math.exp(-(toSquare(value) - toSquare(tailFrom)) / excess);
    },
  };
}

/**
 * The null distribution for a window of `size` rows, by simulation. The reference stays as it is; what a bin's
 * probability may be after it has been seen is a Dirichlet variable with the weights `weights`, which is exact for bins
 * that were cut at values of the reference, and the window is drawn from that.
 */
export function simulateNull(
  statistic: StatisticName,
  options: { reference: Counts; weights: Counts; size: number; positions?: Counts | undefined },
): NullDistribution {
  const { reference, weights, size, positions } = options;
  const random = createRandom(SEED);
  const bins = reference.length;
  const probabilities = new Float64Array(bins);
  const current = new Float64Array(bins);
  const values = Float64Array.from({ length: SIMULATIONS }, () => {
    for (let i = 0; i < bins; i += 1) probabilities[i] = drawGamma(random, weights[i] as number);
    drawMultinomial(random, probabilities, size, current);
    return measure(statistic, { reference, current, positions });
  });
  return nullOfValues(values, statistic, 'simulated');
}

/**
 * The null distribution of Kolmogorov-Smirnov's and Wasserstein's statistics of large samples: a Brownian bridge seen at
 * the edges between bins only, which is what makes it right for discrete values too. `scale` is 1/m + 1/n.
 */
export function simulateBridge(
  statistic: StatisticName,
  options: { reference: Counts; scale: number; positions?: Counts | undefined },
): NullDistribution {
  const { reference, scale, positions } = options;
  const random = createRandom(SEED);
  const total = sum(reference);
  const shares = Float64Array.from(reference, (count) => count / total);
  const steps = new Float64Array(shares.length);
  const root = Math.sqrt(scale);
  const values = Float64Array.from({ length: SIMULATIONS }, () => {
    let end = 0;
    for (let i = 0; i < steps.length; i += 1) {
      steps[i] = Math.sqrt(shares[i] as number) * random.normal();
      end += steps[i] as number;
    }
    let [bridge, value] = [0, 0];
    for (let i = 0; i < steps.length - 1; i += 1) {
      bridge += (steps[i] as number) - (shares[i] as number) * end;
      if (statistic === 'kolmogorov-smirnov') value = Math.max(value, Math.abs(bridge));
      else value += Math.abs(bridge) * gap(positions, i);
    }
    return value * root;
  });
  return nullOfValues(values, statistic, 'asymptotic');
}

function gap(positions: Counts | undefined, i: number): number {
  return positions === undefined ? 0 : (positions[i + 1] as number) - (positions[i] as number);
}
