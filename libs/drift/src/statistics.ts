import assert from 'node:assert';

// taken once: in a vm context, such as jest's, each look-up of a global is slow
const { abs, log, log2, max, sqrt } = Math;

/** Counts of bins. */
export type Counts = ArrayLike<number>;

/** What can be measured between two histograms with the same bins. */
export const STATISTICS = [
  'psi',
  'jensen-shannon',
  'hellinger',
  'chi-square',
  'kolmogorov-smirnov',
  'wasserstein',
] as const;
export type StatisticName = (typeof STATISTICS)[number];

/** Statistics that need an order of the bins, so not for categories. */
export const isOrdered = (statistic: StatisticName): boolean =>
  statistic === 'kolmogorov-smirnov' || statistic === 'wasserstein';

/** Added to each count of both sides of PSI, which an empty bin would make infinite. */
const PSI_COUNT = 0.5;

export function sum(counts: Counts): number {
  let total = 0;
  for (let i = 0; i < counts.length; i += 1) total += counts[i] as number;
  return total;
}

/** Population stability index in nats: the sum of (p - q) ln(p / q), half a count added to every bin of both. */
export function psi(reference: Counts, current: Counts): number {
  const bins = reference.length;
  const p = 1 / (sum(reference) + bins * PSI_COUNT);
  const q = 1 / (sum(current) + bins * PSI_COUNT);
  let total = 0;
  for (let i = 0; i < bins; i += 1) {
    const [a, b] = [((reference[i] as number) + PSI_COUNT) * p, ((current[i] as number) + PSI_COUNT) * q];
    total += (a - b) * log(a / b);
  }
  return total;
}

/** Jensen-Shannon distance in [0, 1]: the root of the divergence to base 2 (Endres and Schindelin 2003). */
export function jensenShannon(reference: Counts, current: Counts): number {
  const [m, n] = [sum(reference), sum(current)];
  let divergence = 0;
  for (let i = 0; i < reference.length; i += 1) {
    const [p, q] = [(reference[i] as number) / m, (current[i] as number) / n];
    const middle = (p + q) / 2;
    if (p > 0) divergence += (p / 2) * log2(p / middle);
    if (q > 0) divergence += (q / 2) * log2(q / middle);
  }
  return sqrt(max(0, divergence));
}

/** Hellinger distance in [0, 1]. */
export function hellinger(reference: Counts, current: Counts): number {
  const [m, n] = [sum(reference), sum(current)];
  let squares = 0;
  for (let i = 0; i < reference.length; i += 1)
    squares += (sqrt((reference[i] as number) / m) - sqrt((current[i] as number) / n)) ** 2;
  return sqrt(squares / 2);
}

/** Pearson's statistic of homogeneity of two samples; bins that are empty in both do not count. */
export function chiSquare(reference: Counts, current: Counts): number {
  const [m, n] = [sum(reference), sum(current)];
  let total = 0;
  for (let i = 0; i < reference.length; i += 1) {
    const [r, c] = [reference[i] as number, current[i] as number];
    if (r + c > 0) total += (r * n - c * m) ** 2 / (r + c);
  }
  return total / (m * n);
}

/** Largest distance between the two distribution functions, at the edges between bins. */
export function kolmogorovSmirnov(reference: Counts, current: Counts): number {
  const [m, n] = [sum(reference), sum(current)];
  let [r, c, distance] = [0, 0, 0];
  for (let i = 0; i < reference.length - 1; i += 1) {
    r += reference[i] as number;
    c += current[i] as number;
    distance = max(distance, abs(r / m - c / n));
  }
  return distance;
}

/** Wasserstein-1 distance in the feature's unit, with the mass of each bin at `positions`, which ascend. */
export function wasserstein(reference: Counts, current: Counts, positions: Counts): number {
  const [m, n] = [sum(reference), sum(current)];
  let [r, c, distance] = [0, 0, 0];
  for (let i = 0; i < reference.length - 1; i += 1) {
    r += reference[i] as number;
    c += current[i] as number;
    distance += abs(r / m - c / n) * ((positions[i + 1] as number) - (positions[i] as number));
  }
  return distance;
}

/** Two histograms with the same bins; `positions` of bins are needed for Wasserstein's distance only. */
export type Comparison = {
  readonly reference: Counts;
  readonly current: Counts;
  readonly positions?: Counts | undefined;
};

/** Any statistic by its name. Both sides must have counts. */
export function measure(statistic: StatisticName, { reference, current, positions }: Comparison): number {
  switch (statistic) {
    case 'psi':
      return psi(reference, current);
    case 'jensen-shannon':
      return jensenShannon(reference, current);
    case 'hellinger':
      return hellinger(reference, current);
    case 'chi-square':
      return chiSquare(reference, current);
    case 'kolmogorov-smirnov':
      return kolmogorovSmirnov(reference, current);
    case 'wasserstein':
      assert(positions !== undefined, "Wasserstein's distance needs the positions of the bins.");
      return wasserstein(reference, current, positions);
  }
}
