import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { createRandom, drawBinomial, drawGamma, drawMultinomial } from '../src/random.ts';

type Expected = {
  distributions: {
    binomial: { trials: number; p: number; at: number; below: number }[];
    gamma: { shape: number; at: number; below: number }[];
  };
};
const { distributions } = JSON.parse(
  readFileSync(new URL('./fixtures/expected.json', import.meta.url), 'utf8'),
) as Expected;
const DRAWS = 20_000;

/** Share of draws at or under a point, in standard errors from what SciPy's distribution function says. */
function errorsFrom(below: number, at: number, draw: () => number): number {
  let found = 0;
  for (let i = 0; i < DRAWS; i += 1) if (draw() <= at) found += 1;
  return Math.abs(found / DRAWS - below) / Math.sqrt((below * (1 - below)) / DRAWS);
}

test('the same seed gives the same numbers, another seed others', () => {
  const take = (seed: number) => {
    const random = createRandom(seed);
    return Array.from({ length: 5 }, () => [random.uniform(), random.normal()]);
  };
  expect(take(1)).toEqual(take(1));
  expect(take(1)).not.toEqual(take(2));
});

test('drawn numbers follow the distributions of SciPy', () => {
  const random = createRandom(3);
  for (const { trials, p, at, below } of distributions.binomial)
    expect(errorsFrom(below, at, () => drawBinomial(random, trials, p))).toBeLessThan(4);
  for (const { shape, at, below } of distributions.gamma)
    expect(errorsFrom(below, at, () => drawGamma(random, shape))).toBeLessThan(4);
  expect(errorsFrom(0.975, 1.959964, () => random.normal())).toBeLessThan(4);
  expect(errorsFrom(0.25, 0.25, () => random.uniform())).toBeLessThan(4);
});

test('a multinomial draw fills all bins with all of the rows', () => {
  const random = createRandom(5);
  const out = new Float64Array(4);
  const sums = [0, 0, 0, 0];
  for (let i = 0; i < 2_000; i += 1) {
    drawMultinomial(random, [1, 0, 2, 5], 100, out);
    expect(out.reduce((a, b) => a + b)).toBe(100);
    for (const [bin, count] of out.entries()) sums[bin] = (sums[bin] as number) + count;
  }
  expect(sums[1]).toBe(0);
  expect((sums[0] as number) / 200_000).toBeCloseTo(1 / 8, 2);
  expect((sums[3] as number) / 200_000).toBeCloseTo(5 / 8, 2);
});
