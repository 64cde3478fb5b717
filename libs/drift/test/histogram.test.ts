import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Bins } from '../src/index.ts';
import { countValues, emptyHistogram, mergeHistograms, rowsOf } from '../src/index.ts';

const numbers: Bins = { kind: 'number', precision: 'double', edges: [-1, 0, 2.5], min: -4, max: 8 };
const colours: Bins = { kind: 'category', categories: ['red', 'green', 'true', '3'] };

const anything = fc.oneof(
  fc.double(),
  fc.integer({ min: -5, max: 9 }),
  fc.constantFrom(null, undefined, true, false, 'red', 'green', 'blue', '', 3, Infinity, -0, { a: 1 }),
);

test('a value lies right of every edge that is not over it', () => {
  const { counts } = countValues(numbers, [-1.0001, -1, -0.5, -0, 0, 2.4999, 2.5, 1e149]);
  expect(counts).toEqual([1, 2, 3, 2]);
});

test('what is absent, of another type or outside of the range is told apart', () => {
  const values = [null, undefined, Number.NaN, 'red', true, Infinity, 1e200, -5, 9, 8];
  expect(countValues(numbers, values)).toEqual({
    counts: [1, 0, 0, 2],
    nulls: 3,
    mismatched: 4,
    below: 1,
    above: 1,
  });
  const found = countValues(colours, ['red', 'pink', true, false, 3, null, {}, 'red']);
  expect(found).toEqual({ counts: [2, 0, 1, 1, 2], nulls: 1, mismatched: 1, below: 0, above: 0 });
});

test('single precision sees what a model sees that takes float32', () => {
  const edge = Math.fround(0.1);
  const bins = { kind: 'number', edges: [edge], min: 0, max: 1 } as const;
  expect(countValues({ ...bins, precision: 'single' }, [0.1]).counts).toEqual([0, 1]);
  expect(countValues({ ...bins, precision: 'double' }, [0.1]).counts).toEqual([1, 0]);
});

test('however rows are split, ordered and merged, the histogram is the same', () => {
  const rows = fc.array(anything, { maxLength: 60 });
  fc.assert(
    fc.property(fc.constantFrom(numbers, colours), rows, rows, rows, (bins, a, b, c) => {
      const [x, y, z] = [a, b, c].map((part) => countValues(bins, part)) as [
        ReturnType<typeof countValues>,
        ReturnType<typeof countValues>,
        ReturnType<typeof countValues>,
      ];
      const whole = countValues(bins, [...c, ...a, ...b].reverse());
      expect(mergeHistograms(mergeHistograms(x, y), z)).toEqual(whole);
      expect(mergeHistograms(x, mergeHistograms(z, y))).toEqual(whole);
      expect(mergeHistograms(x, emptyHistogram(bins))).toEqual(x);
      expect(rowsOf(whole)).toBe(a.length + b.length + c.length);
    }),
    { numRuns: 300, seed: 7 },
  );
});
