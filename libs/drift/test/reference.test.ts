import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { FeatureColumn } from '../src/index.ts';
import { buildReference, createRandom, encodeReference, parseReference } from '../src/index.ts';
import type { NumberReference } from '../src/reference.ts';

/** The reference of one column of numbers. */
function numbersOf(values: readonly unknown[], bins?: number): NumberReference {
  const { features } = buildReference([{ name: 'x', values }], { bins });
  return features[0] as NumberReference;
}

const normal = (size: number, seed = 1): number[] => {
  const random = createRandom(seed);
  return Array.from({ length: size }, () => random.normal());
};

test('continuous values fall into bins of equal counts', () => {
  const { counts, edges, means, min, max, deviation, grid } = numbersOf(normal(10_000));
  expect(counts).toEqual(new Array(10).fill(1000));
  expect(edges[4]).toBeCloseTo(0, 1);
  expect(deviation).toBeCloseTo(1, 1);
  expect(grid[0]).toBe(min);
  expect(grid.at(-1)).toBe(max);
  expect(means[0]).toBeLessThan(edges[0] as number);
  expect(numbersOf(normal(1000), 4).counts).toEqual([250, 250, 250, 250]);
});

test('few values get a bin each, a value that fills a bin gets it alone', () => {
  const dice = Array.from({ length: 600 }, (_, i) => 1 + (i % 6));
  expect(numbersOf(dice)).toMatchObject({ edges: [2, 3, 4, 5, 6], counts: [100, 100, 100, 100, 100, 100] });
  expect(numbersOf(new Array(60).fill(5))).toMatchObject({ edges: [], counts: [60], deviation: 0 });
  const sales = [...new Array<number>(600).fill(0), ...normal(400).map((x) => Math.exp(x)), ...normal(60)];
  const { edges, counts, means } = numbersOf(sales);
  const zero = edges.indexOf(0);
  expect(means[zero + 1]).toBe(0);
  expect(counts[zero + 1]).toBe(600);
});

test('categories come by how often they are, what is over their number or too long is other', () => {
  const values = [
    ...new Array(40).fill('b'),
    ...new Array(40).fill('a'),
    ...new Array(45).fill(true),
    ...Array.from({ length: 70 }, (_, i) => `rare-${i}`),
    ...new Array(50).fill('x'.repeat(257)),
    null,
  ];
  const [feature] = buildReference([{ name: 'x', values }]).features;
  expect(feature).toMatchObject({ kind: 'category', nulls: 1 });
  expect((feature as { categories: string[] }).categories.slice(0, 4)).toEqual(['true', 'a', 'b', 'rare-0']);
  expect(feature?.counts).toEqual([45, 40, 40, ...new Array(61).fill(1), 50 + 70 - 61]);
});

test('a column without a value and a column asked for as categories are described as such', () => {
  const columns: FeatureColumn[] = [
    { name: 'empty', values: new Array(50).fill(null), kind: 'number' },
    { name: 'code', values: new Array(50).fill(7), kind: 'category' },
  ];
  expect(buildReference(columns).features).toMatchObject([
    { kind: 'category', categories: [], counts: [0], nulls: 50 },
    { kind: 'category', categories: ['7'], counts: [50, 0], nulls: 0 },
  ]);
});

const columns = fc.integer({ min: 50, max: 120 }).chain((rows) =>
  fc.tuple(
    fc.array(fc.oneof(fc.double({ noNaN: true, min: -1e9, max: 1e9 }), fc.constantFrom(0, 7, null)), {
      minLength: rows,
      maxLength: rows,
    }),
    fc.array(fc.constantFrom('a', 'b', 'ü', null), { minLength: rows, maxLength: rows }),
    fc.shuffledSubarray(
      Array.from({ length: rows }, (_, i) => i),
      { minLength: rows },
    ),
  ),
);

test('the order of rows does not matter, and a reference survives its text', () => {
  fc.assert(
    fc.property(columns, fc.integer({ min: 2, max: 12 }), ([x, y, order], bins) => {
      const at = (values: readonly unknown[]) => order.map((i) => values[i]);
      const build = (a: readonly unknown[], b: readonly unknown[]) =>
        buildReference(
          [
            { name: 'x', values: a, precision: 'single' },
            { name: 'y', values: b },
          ],
          { bins },
        );
      const reference = build(x, y);
      const text = encodeReference(reference);
      expect(encodeReference(build(at(x), at(y)))).toBe(text);
      expect(parseReference(JSON.parse(text))).toEqual(reference);
      for (const { kind, counts } of reference.features)
        if (kind === 'number') expect(Math.min(...counts)).toBeGreaterThan(0);
    }),
    { numRuns: 150, seed: 7 },
  );
});

test.each<[string, FeatureColumn[], RegExp]>([
  ['no feature', [], /1 to 512 features, not 0/],
  ['few rows', [{ name: 'x', values: [1, 2] }], /50 to 1000000 rows, not 2/],
  [
    'columns of other lengths',
    [
      { name: 'x', values: new Array(50).fill(1) },
      { name: 'y', values: [1] },
    ],
    /"y" has 1 rows, "x" has 50/,
  ],
  [
    'a name twice',
    [
      { name: 'x', values: new Array(50).fill(1) },
      { name: 'x', values: new Array(50).fill(1) },
    ],
    /"x" is there twice/,
  ],
  ['infinity', [{ name: 'x', values: [...new Array(50).fill(1), Infinity] }], /row 50 that is no number/],
  ['an object', [{ name: 'x', values: [...new Array(50).fill('a'), {}] }], /row 50 that is no text/],
  [
    'a text among numbers',
    [{ name: 'x', kind: 'number', values: [...new Array(50).fill(1), 'a'] }],
    /row 50 that is no number/,
  ],
])('refused: %s', (_, given, message) => {
  expect(() => buildReference(given)).toThrow(message);
});

test('a reference from outside is checked in all its parts', () => {
  const reference = buildReference([
    { name: 'x', values: normal(100) },
    { name: 'y', values: Array.from({ length: 100 }, (_, i) => `${i % 3}-`) },
  ]);
  const [x, y] = reference.features as [NumberReference, (typeof reference.features)[1]];
  const withX = (change: object) => ({ ...reference, features: [{ ...x, ...change }, y] });
  const faults: [unknown, RegExp][] = [
    [{ ...reference, format: 'other' }, /does not fit its schema: \/format/],
    [{ ...reference, features: [x, x] }, /"x" of the drift reference: it is there twice/],
    [withX({ nulls: 1 }), /are 101, not the 100 rows/],
    [withX({ edges: x.edges.slice(1) }), /one count and one mean more than edges/],
    [withX({ edges: x.edges.toReversed() }), /do not ascend/],
    [withX({ min: -100 }), /do not reach from its minimum/],
    [{ ...reference, features: [x, { ...y, counts: [50, 50] }] }, /one count for each category/],
  ];
  for (const [value, message] of faults) {
    let thrown: unknown;
    try {
      parseReference(JSON.parse(JSON.stringify(value)));
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ code: 'invalid_request', message: expect.stringMatching(message) });
  }
});
