// npm run bench:drift: how often drift tests alarm when nothing changed, and how much change they see. `--help` says more.
import { parseArgs } from 'node:util';
import type { NullDistributions, Random, StatisticName } from '@millrace/drift';
import {
  createNullDistributions,
  createRandom,
  drawGamma,
  drawMultinomial,
  EFFECT_FLOORS,
  find,
  isOrdered,
  STATISTICS,
} from '@millrace/drift';
import { table } from '../../scripts/lib/format.ts';

const USAGE = `npm run bench:drift [-- --trials N] [--reference M] [--check]

False alarms at the level 1 % of every statistic of libs/drift, alone (without the other features' correction), then with its
effect floor as well, for windows of 50 to 1,000,000 rows of the same law as the reference, beside a fixed threshold of
PSI 0.1. Then the share of windows in which a shift of the mean is found. Three laws:
  continuous  bins cut at deciles of each trial's own reference
  discrete    a Poisson variable of mean 3, a bin for each value
  category    twelve categories with shares as 1/rank
Options:
  --trials N     windows of each cell (default 20000: a standard error of 0.07 % at 1 %)
  --reference M  rows of each reference (default 10000, a multiple of 10)
  --check        fail when a cell of continuous values is outside of 1 % +- 0.3, or any is over 1.3 %`;

const { values: options } = parseArgs({
  options: {
    trials: { type: 'string', default: '20000' },
    reference: { type: 'string', default: '10000' },
    check: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const trials = Number(options.trials);
const rows = Number(options.reference);
const print = (text: string): void => void process.stdout.write(`${text}\n`);

const ALPHA = 0.01;
const SIZES = [50, 100, 200, 500, 1_000, 10_000, 100_000, 1_000_000];
const POWER_SIZES = [50, 200, 1_000, 10_000];
/** Shifts of the mean in standard deviations. */
const SHIFTS = [0.1, 0.2, 0.3, 0.5, 0.8];
const BINS = 10;
const FIXED_PSI = 0.1;
/** References of a cell whose critical values have to be simulated for each of them. */
const SIMULATED_REFERENCES = 100;
/** Rates that a check allows. */
const RATES = { least: 0.007, most: 0.013 };
/** Kolmogorov-Smirnov's statistic has few values in few rows and cannot meet a level from below exactly. */
const isCoarse = (statistic: StatisticName, size: number): boolean =>
  statistic === 'kolmogorov-smirnov' && size < 500;

/** Counts of a reference, and the weights of the bins that later rows fall into. */
type Drawn = { counts: number[]; weights: number[]; positions: number[] };
type Law = (random: Random) => Drawn;

const range = (length: number): number[] => Array.from({ length }, (_, i) => i);

/** Uniform values between the deciles of a reference: gaps between order statistics are gamma variables, normalised. */
function decileGaps(random: Random): number[] {
  // the last gap has one more: a row beyond the largest of the reference
  const gaps = range(BINS).map((i) => drawGamma(random, rows / BINS + (i === BINS - 1 ? 1 : 0)));
  const total = gaps.reduce((a, b) => a + b);
  return gaps.map((gap) => gap / total);
}

const continuous: Law = (random) => ({
  counts: new Array<number>(BINS).fill(rows / BINS),
  weights: decileGaps(random),
  positions: range(BINS),
});

/** Logistic values that moved by `shift` standard deviations after the reference. */
const shifted =
  (shift: number): Law =>
  (random) => {
    const move = (shift * Math.PI) / Math.sqrt(3);
    const positions = range(BINS).map((i) => Math.log((i + 0.5) / (BINS - i - 0.5)));
    let [edge, before] = [0, 0];
    const weights = decileGaps(random).map((gap, i) => {
      edge += gap;
      const below = i === BINS - 1 ? 1 : 1 / (1 + (1 / edge - 1) * Math.exp(move));
      const weight = below - before;
      before = below;
      return weight;
    });
    return { counts: new Array<number>(BINS).fill(rows / BINS), weights, positions };
  };

const fixedBins =
  (weights: number[]): Law =>
  (random) => {
    const out = new Float64Array(weights.length);
    drawMultinomial(random, weights, rows, out);
    return { counts: Array.from(out), weights, positions: range(weights.length) };
  };

/** A Poisson variable of mean 3; its few values over 7 are left out. */
const poisson = [1];
for (let k = 1; k < 8; k += 1) poisson.push(((poisson[k - 1] as number) * 3) / k);
const discrete = fixedBins(poisson);
const category = fixedBins(range(12).map((i) => 1 / (i + 1)));

/** Shares of windows that a rule alarms for. */
type Rates = { alone: number; withFloor: number; fixedPsi: number };

/** Alarms of one statistic in windows of `size` rows. */
function ratesOf(law: Law, statistic: StatisticName, size: number, distributions: NullDistributions): Rates {
  const random = createRandom(size + trials);
  const first = law(random);
  const current = new Float64Array(first.counts.length);
  const unit = deviationOf(first);
  const { method } = distributions.of(statistic, {
    reference: first.counts,
    size,
    positions: first.positions,
  });
  const isShared = method === 'asymptotic' ? !isOrdered(statistic) || law === continuous : false;
  const isEqual = new Set(first.counts).size === 1;
  const references = isShared || isEqual ? trials : Math.min(trials, SIMULATED_REFERENCES);
  let [alone, withFloor, fixedPsi] = [0, 0, 0];
  for (let i = 0; i < references; i += 1) {
    const { counts, weights, positions } = law(random);
    for (let window = 0; window < trials / references; window += 1) {
      drawMultinomial(random, weights, size, current);
      const sides = { reference: counts, current, positions };
      const { value, criticalValue, effect } = find(statistic, sides, { alpha: ALPHA, distributions, unit });
      if (value > criticalValue) alone += 1;
      if (value > criticalValue && effect >= EFFECT_FLOORS[statistic]) withFloor += 1;
      if (statistic === 'psi' && value > FIXED_PSI) fixedPsi += 1;
    }
  }
  return { alone: alone / trials, withFloor: withFloor / trials, fixedPsi: fixedPsi / trials };
}

/** Standard deviation of a reference's values, each at the position of its bin. */
function deviationOf({ counts, positions }: Drawn): number {
  const mean = (of: (at: number) => number): number =>
    counts.reduce((total, count, i) => total + (count / rows) * of(positions[i] as number), 0);
  const centre = mean((at) => at);
  return Math.sqrt(mean((at) => (at - centre) ** 2));
}

const percent = (share: number): string => `${(share * 100).toFixed(2)} %`;
const faults: string[] = [];

function falseAlarms(
  name: string,
  law: Law,
  statistics: readonly StatisticName[],
  sizes: readonly number[],
): void {
  print(`\nFalse alarms, ${name}, reference of ${rows} rows, ${trials} windows: alone / with the floor`);
  const lines = sizes.map((size) => {
    const distributions = createNullDistributions();
    const cells = statistics.map((statistic) => {
      const rates = ratesOf(law, statistic, size, distributions);
      const isLow = law === continuous && !isCoarse(statistic, size) && rates.alone < RATES.least;
      if (rates.alone > RATES.most || isLow || rates.withFloor > RATES.most)
        faults.push(`${name}, ${statistic}, ${size} rows: ${percent(rates.alone)}`);
      return { text: `${percent(rates.alone)} / ${percent(rates.withFloor)}`, rates };
    });
    const fixed = cells[statistics.indexOf('psi')]?.rates.fixedPsi ?? 0;
    return [String(size), ...cells.map(({ text }) => text), percent(fixed)];
  });
  print(table([['rows', ...statistics, `PSI > ${FIXED_PSI}`], ...lines]));
}

function power(): void {
  print('\nWindows in which a shift is found (logistic values): alone / with the floor');
  for (const size of POWER_SIZES) {
    const distributions = createNullDistributions();
    const lines = SHIFTS.map((shift) => {
      const law = shifted(shift);
      const rates = STATISTICS.map((statistic) => ratesOf(law, statistic, size, distributions));
      return [
        `${size} rows, ${shift} deviations`,
        ...rates.map(({ alone, withFloor }) => `${percent(alone)} / ${percent(withFloor)}`),
        percent(rates[0]?.fixedPsi ?? 0),
      ];
    });
    print(table([['window', ...STATISTICS, `PSI > ${FIXED_PSI}`], ...lines]));
  }
}

if (options.help) print(USAGE);
else {
  falseAlarms('continuous', continuous, STATISTICS, SIZES);
  // of larger windows the reference decides as much, and the few that can be simulated for are no sample of it
  const small = SIZES.filter((size) => size <= rows / 10);
  falseAlarms('discrete', discrete, STATISTICS, small);
  const unordered = STATISTICS.filter((statistic) => !isOrdered(statistic));
  falseAlarms('category', category, unordered, small);
  power();
  if (options.check && faults.length > 0) {
    print(`\nOutside of what is promised:\n${faults.join('\n')}`);
    process.exitCode = 1;
  }
}
