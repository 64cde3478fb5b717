import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { chiSquareCritical, chiSquareSurvival, logGamma } from '../src/chi-square-distribution.ts';
import { adjustPValues, measure, STATISTICS } from '../src/index.ts';
import type { StatisticName } from '../src/statistics.ts';

type Table = Record<StatisticName, number> & Record<'reference' | 'current' | 'positions', number[]>;
type Expected = {
  tables: Table[];
  chiSquare: { degrees: number; alpha: number; critical: number; value: number; survival: number }[];
  benjaminiHochberg: { pValues: number[]; adjusted: number[] }[];
  logGamma: { x: number; value: number }[];
};

const expected = JSON.parse(
  readFileSync(new URL('./fixtures/expected.json', import.meta.url), 'utf8'),
) as Expected;

/** Distance in units of the larger one, or of `least`. */
const relative = (a: number, b: number, least = 0): number =>
  a === b ? 0 : Math.abs(a - b) / Math.max(Math.abs(a), Math.abs(b), least);

test.each(STATISTICS)('%s is what SciPy says', (statistic) => {
  for (const table of expected.tables)
    expect(relative(measure(statistic, table), table[statistic], 1e-6)).toBeLessThan(1e-9);
});

test('the chi-square distribution is what SciPy says, far in its tail too', () => {
  for (const { degrees, alpha, critical, value, survival } of expected.chiSquare) {
    expect(relative(chiSquareCritical(alpha, degrees), critical)).toBeLessThan(1e-10);
    expect(relative(chiSquareSurvival(value, degrees), survival)).toBeLessThan(1e-10);
  }
  expect(chiSquareSurvival(0, 3)).toBe(1);
  for (const { x, value } of expected.logGamma) expect(relative(logGamma(x), value, 1)).toBeLessThan(1e-13);
});

test('p-values are adjusted as SciPy adjusts them', () => {
  for (const { pValues, adjusted } of expected.benjaminiHochberg)
    for (const [i, value] of adjustPValues(pValues).entries())
      expect(relative(value, adjusted[i] as number)).toBeLessThan(1e-12);
  expect(adjustPValues([])).toEqual([]);
});

const counts = fc
  .tuple(
    fc.array(fc.tuple(fc.nat(1000), fc.nat(1000)), { minLength: 2, maxLength: 20 }),
    fc.integer({ min: 1, max: 50 }),
  )
  .map(([rows, last]) => {
    const all = [...rows, [last, last]];
    return { reference: all.map(([r]) => r as number), current: all.map(([, c]) => c as number) };
  });

test('every statistic is 0 for equal shares, symmetric where sizes are equal, and never negative', () => {
  fc.assert(
    fc.property(counts, ({ reference, current }) => {
      const positions = reference.map((_, i) => i);
      for (const statistic of STATISTICS) {
        expect(measure(statistic, { reference, current: reference, positions })).toBe(0);
        const there = measure(statistic, { reference, current, positions });
        const back = measure(statistic, { reference: current, current: reference, positions });
        expect(there).toBeGreaterThanOrEqual(0);
        expect(relative(there, back, 1e-9)).toBeLessThan(1e-9);
      }
    }),
    { numRuns: 200, seed: 7 },
  );
});

test('distances are at most 1, and 1 where nothing is shared', () => {
  for (const statistic of ['jensen-shannon', 'hellinger', 'kolmogorov-smirnov'] as const) {
    expect(measure(statistic, { reference: [7, 0], current: [0, 9] })).toBeCloseTo(1, 12);
    fc.assert(
      fc.property(counts, (sides) => expect(measure(statistic, sides)).toBeLessThanOrEqual(1 + 1e-12)),
      { numRuns: 100, seed: 7 },
    );
  }
});
