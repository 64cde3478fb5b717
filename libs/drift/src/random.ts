import { logGamma } from './chi-square-distribution.ts';

// taken once: in a vm context, such as jest's, each look-up of a global is slow
const { abs, exp, floor, log, log1p, min, sqrt, trunc } = Math;

/** Seeded numbers: the same seed gives the same numbers everywhere. */
export type Random = {
  /** Uniform in (0, 1). */
  uniform(): number;
  /** Standard normal. */
  normal(): number;
};

const WARM_UP = 16;
/** Expected successes from which rejection is faster than counting up. */
const REJECTION_FROM = 10;

/** Doty-Humphrey's small fast counting generator (sfc32, PractRand), normal numbers by Marsaglia's polar method. */
export function createRandom(seed: number): Random {
  let [a, b, c, counter] = [seed | 0, trunc(seed / 2 ** 32) | 0, 0x9e3779b9 | 0, 1];
  let spare: number | undefined;

  function uniform(): number {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    return ((sum >>> 0) + 0.5) / 2 ** 32;
  }

  function normal(): number {
    if (spare !== undefined) {
      const value = spare;
      spare = undefined;
      return value;
    }
    for (;;) {
      const [x, y] = [2 * uniform() - 1, 2 * uniform() - 1];
      const square = x * x + y * y;
      if (square >= 1 || square === 0) continue;
      const factor = sqrt((-2 * log(square)) / square);
      spare = y * factor;
      return x * factor;
    }
  }

  for (let i = 0; i < WARM_UP; i += 1) uniform();
  return { uniform, normal };
}

/** A gamma variable of scale 1 (Marsaglia and Tsang 2000; shapes under 1 by their section 6). */
export function drawGamma(random: Random, shape: number): number {
  if (shape < 1) return drawGamma(random, shape + 1) * random.uniform() ** (1 / shape);
  const d = shape - 1 / 3;
  const c = 1 / sqrt(9 * d);
  for (;;) {
    const x = random.normal();
    const v = (1 + c * x) ** 3;
    if (v <= 0) continue;
    if (log(random.uniform()) < 0.5 * x * x + d - d * v + d * log(v)) return d * v;
  }
}

/** Counts up the probabilities from 0 successes; its time grows with `trials` times `p`. */
function binomialByInversion(random: Random, trials: number, p: number): number {
  const odds = p / (1 - p);
  let probability = exp(trials * log1p(-p));
  let left = random.uniform();
  for (let successes = 0; successes < trials; successes += 1) {
    if (left <= probability) return successes;
    left -= probability;
    probability *= (odds * (trials - successes)) / (successes + 1);
  }
  return trials;
}

/** Transformed rejection with a squeeze (Hormann 1993, algorithm BTRS), for p <= 1/2 and `trials` times `p` >= 10. */
function binomialByRejection(random: Random, trials: number, p: number): number {
  const deviation = sqrt(trials * p * (1 - p));
  const b = 1.15 + 2.53 * deviation;
  const a = -0.0873 + 0.0248 * b + 0.01 * p;
  const middle = trials * p + 0.5;
  const squeeze = 0.92 - 4.2 / b;
  const alpha = (2.83 + 5.1 / b) * deviation;
  const mode = floor((trials + 1) * p);
  const logOdds = log(p / (1 - p));
  const height = logGamma(mode + 1) + logGamma(trials - mode + 1);
  for (;;) {
    const u = random.uniform() - 0.5;
    const v = random.uniform();
    const edge = 0.5 - abs(u);
    const successes = floor(((2 * a) / edge + b) * u + middle);
    if (successes < 0 || successes > trials) continue;
    if (edge >= 0.07 && v <= squeeze) return successes;
    const bound = height - logGamma(successes + 1) - logGamma(trials - successes + 1);
    if (log((v * alpha) / (a / (edge * edge) + b)) <= bound + (successes - mode) * logOdds) return successes;
  }
}

/** Successes of `trials` independent trials with the probability `p` each. */
export function drawBinomial(random: Random, trials: number, p: number): number {
  if (trials === 0 || p <= 0) return 0;
  if (p >= 1) return trials;
  if (p > 0.5) return trials - drawBinomial(random, trials, 1 - p);
  return trials * p < REJECTION_FROM
    ? binomialByInversion(random, trials, p)
    : binomialByRejection(random, trials, p);
}

/** Fills `out` with how `size` independent values fall into bins of these weights, which need not sum to 1. */
export function drawMultinomial(
  random: Random,
  weights: ArrayLike<number>,
  size: number,
  out: Float64Array,
): void {
  let weightLeft = 0;
  for (let i = 0; i < weights.length; i += 1) weightLeft += weights[i] as number;
  let left = size;
  for (let i = 0; i < weights.length; i += 1) {
    const weight = weights[i] as number;
    const isLast = i === weights.length - 1;
    out[i] = isLast ? left : drawBinomial(random, left, min(1, weight / weightLeft));
    left -= out[i] as number;
    weightLeft -= weight;
  }
}
