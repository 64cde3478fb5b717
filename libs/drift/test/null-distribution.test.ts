import { expect, test } from '@jest/globals';
import {
  createNullDistributions,
  createRandom,
  drawGamma,
  drawMultinomial,
  isOrdered,
  measure,
  STATISTICS,
} from '../src/index.ts';

const ALPHA = 0.01;
const equal = (bins: number, each: number): number[] => new Array<number>(bins).fill(each);
const ramp = (bins: number): number[] => Array.from({ length: bins }, (_, i) => i);

/** Share of windows of the reference's own law that pass the critical value. */
function falseAlarms(statistic: (typeof STATISTICS)[number], size: number, rows: number): number {
  const bins = 10;
  const windows = 12_000;
  const distributions = createNullDistributions();
  const random = createRandom(17);
  const positions = ramp(bins);
  const reference = equal(bins, rows / bins);
  const shares = new Float64Array(bins);
  const current = new Float64Array(bins);
  const critical = distributions.of(statistic, { reference, size, positions }).criticalValue(ALPHA);
  let alarms = 0;
  for (let i = 0; i < windows; i += 1) {
    // gaps between order statistics of the reference are gamma variables, normalised; the last has one row more
    for (let bin = 0; bin < bins; bin += 1)
      shares[bin] = drawGamma(random, rows / bins + (bin === bins - 1 ? 1 : 0));
    drawMultinomial(random, shares, size, current);
    if (measure(statistic, { reference, current, positions }) > critical) alarms += 1;
  }
  return alarms / windows;
}

test.each(STATISTICS)('%s passes its critical value by chance as rarely as asked', (statistic) => {
  // Kolmogorov-Smirnov's has few values in 100 rows, so its level cannot be met from below exactly
  const least = statistic === 'kolmogorov-smirnov' ? 0.004 : 0.007;
  const share = falseAlarms(statistic, 100, 100);
  expect(share).toBeGreaterThan(least);
  expect(share).toBeLessThan(0.013);
});

test('simulated and large-sample distributions agree where both hold', () => {
  for (const statistic of STATISTICS) {
    const options = { reference: equal(10, 100_000), positions: ramp(10) };
    const [small, large] = [499, 500].map((size) =>
      createNullDistributions().of(statistic, { ...options, size }),
    );
    expect([small?.method, large?.method]).toEqual(['simulated', 'asymptotic']);
    const ratio = (small?.criticalValue(ALPHA) ?? 0) / (large?.criticalValue(ALPHA) ?? 1);
    expect(Math.abs(ratio - 1)).toBeLessThan(isOrdered(statistic) ? 0.07 : 0.05);
  }
});

test('rare bins are simulated whatever the size', () => {
  const { method } = createNullDistributions().of('psi', { reference: [99_995, 5], size: 100_000 });
  expect(method).toBe('simulated');
});

test('p-values and critical values say the same, also far beyond what was simulated', () => {
  const distributions = createNullDistributions();
  for (const statistic of STATISTICS)
    for (const size of [200, 2_000]) {
      const options = { reference: equal(8, 500), size, positions: ramp(8) };
      const { criticalValue, pValue } = distributions.of(statistic, options);
      let before = Number.POSITIVE_INFINITY;
      for (const alpha of [1e-8, 1e-4, 0.005, 0.01, 0.2, 0.9]) {
        const critical = criticalValue(alpha);
        expect(critical).toBeLessThanOrEqual(before);
        expect(pValue(critical * (1 + 1e-9))).toBeLessThanOrEqual(alpha * (1 + 1e-6));
        expect(pValue(critical * (1 - 1e-9))).toBeGreaterThanOrEqual(alpha * (1 - 1e-6));
        before = critical;
      }
      expect(pValue(0)).toBeGreaterThan(0.99);
    }
});

test('what was simulated is remembered, the least recently used forgotten', () => {
  const distributions = createNullDistributions({ entriesMax: 2 });
  const of = (size: number) => distributions.of('psi', { reference: [30, 30], size });
  const first = of(50);
  of(60);
  expect(of(50)).toBe(first);
  of(70);
  expect(of(50)).toBe(first);
  of(60);
  of(80);
  const again = of(50);
  expect(again).not.toBe(first);
  expect(again.criticalValue(ALPHA)).toBe(first.criticalValue(ALPHA));
});
