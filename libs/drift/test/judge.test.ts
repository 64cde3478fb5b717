import { expect, test } from '@jest/globals';
import type { DriftReference, FeatureColumn, Histogram, JudgeOptions, Random } from '../src/index.ts';
import {
  buildReference,
  countValues,
  createNullDistributions,
  createRandom,
  EFFECT_FLOORS,
  judge,
  STATISTICS,
} from '../src/index.ts';

const distributions = createNullDistributions();
const FEATURES = 6;

/** Rows of six features: five normal ones and a category; `shift` moves the first in standard deviations. */
function rowsOf(random: Random, size: number, shift = 0): FeatureColumn[] {
  const normal = (): number => random.normal();
  return [
    ...Array.from({ length: FEATURES - 1 }, (_, i) => ({
      name: `x${i}`,
      values: Array.from({ length: size }, () => normal() + (i === 0 ? shift : 0)),
    })),
    { name: 'colour', values: Array.from({ length: size }, () => (random.uniform() < 0.2 ? 'red' : 'blue')) },
  ];
}

function histogramsOf(reference: DriftReference, columns: readonly FeatureColumn[]): Map<string, Histogram> {
  return new Map(
    reference.features.map((feature) => {
      const values = columns.find(({ name }) => name === feature.name)?.values ?? [];
      return [feature.name, countValues(feature, Array.from(values))];
    }),
  );
}

function judged(reference: DriftReference, columns: FeatureColumn[], options: Partial<JudgeOptions> = {}) {
  return judge(reference, histogramsOf(reference, columns), { distributions, ...options });
}

test('windows of the same law raise hardly any alarm, whatever their size', () => {
  const random = createRandom(23);
  let reference = buildReference(rowsOf(random, 2_000));
  let [alarms, significant] = [0, 0];
  for (let i = 0; i < 200; i += 1) {
    if (i % 20 === 0) reference = buildReference(rowsOf(random, 2_000));
    const { isDrifted, features } = judged(reference, rowsOf(random, i % 2 === 0 ? 60 : 600));
    if (isDrifted) alarms += 1;
    if (features.some(({ checks }) => checks.some(({ isSignificant }) => isSignificant))) significant += 1;
  }
  // at most alpha of the windows hold any false alarm; eight of 200 is over four standard errors from two
  expect(significant).toBeLessThanOrEqual(7);
  expect(alarms).toBeLessThanOrEqual(significant);
});

test.each(STATISTICS)('%s finds the feature that moved, and tells how it decided', (statistic) => {
  const random = createRandom(29);
  const reference = buildReference(rowsOf(random, 5_000));
  const { isDrifted, features } = judged(reference, rowsOf(random, 400, 0.6), { statistic });
  expect(isDrifted).toBe(true);
  expect(features.map(({ status }) => status)).toEqual([
    'drifted',
    ...new Array<string>(FEATURES - 1).fill('stable'),
  ]);
  const [found] = features[0]?.checks ?? [];
  expect(found).toMatchObject({
    check: 'distribution',
    statistic,
    floor: EFFECT_FLOORS[statistic],
    referenceSize: 5_000,
    currentSize: 400,
    isSignificant: true,
  });
  expect(found?.value).toBeGreaterThan(found?.criticalValue ?? Number.POSITIVE_INFINITY);
});

test('a change that is certain but small is no alarm; a lower floor makes it one', () => {
  const random = createRandom(31);
  const reference = buildReference(rowsOf(random, 50_000));
  const window = rowsOf(random, 50_000, 0.05);
  const tiny = judged(reference, window);
  expect(tiny.isDrifted).toBe(false);
  expect(tiny.features[0]?.checks[0]).toMatchObject({ isSignificant: true, isDrifted: false });
  expect(judged(reference, window, { floor: 0.001 }).features[0]?.status).toBe('drifted');
});

test('nulls, values out of range and another type are told apart', () => {
  const random = createRandom(37);
  const reference = buildReference(rowsOf(random, 2_000));
  const window = rowsOf(random, 300);
  const change = (i: number, to: (value: unknown, row: number) => unknown) => {
    const column = window[i] as FeatureColumn;
    window[i] = { ...column, values: Array.from(column.values, to) };
  };
  change(1, (value, row) => (row % 10 === 0 ? null : value));
  change(2, (value, row) => (row % 10 === 0 ? 50 : value));
  change(3, (value, row) => (row === 0 ? 'text' : value));
  const { features } = judged(reference, window);
  const drifted = (i: number) =>
    features[i]?.checks.filter(({ isDrifted }) => isDrifted).map(({ check }) => check);
  expect(drifted(1)).toContain('nulls');
  expect(drifted(2)).toContain('range');
  expect(features[3]).toMatchObject({ status: 'stable', mismatched: 1 });
});

test('a feature that never varied drifts when it does', () => {
  const reference = buildReference([{ name: 'x', values: new Array(500).fill(5) }]);
  const same = judged(reference, [{ name: 'x', values: new Array(100).fill(5) }]);
  const other = judged(reference, [{ name: 'x', values: new Array(100).fill(7) }]);
  expect([same.isDrifted, other.isDrifted]).toEqual([false, true]);
});

test('too few rows are said to be too few, none at all as well', () => {
  const random = createRandom(41);
  const reference = buildReference(rowsOf(random, 1_000));
  const { isDrifted, features } = judged(reference, rowsOf(random, 49, 5));
  expect(isDrifted).toBe(false);
  expect(new Set(features.map(({ status }) => status))).toEqual(new Set(['too-few-rows']));
  expect(judge(reference, new Map(), { distributions }).features[0]?.status).toBe('too-few-rows');
});
