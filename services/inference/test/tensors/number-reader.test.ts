import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { readNumberArray } from '../../src/tensors/number-reader.ts';

const CAPACITY = 100_000;

function read(text: string, target: Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer>) {
  return readNumberArray(Buffer.from(text), 0, target, CAPACITY);
}

function expectSame(actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i += 1) {
    if (!Object.is(actual[i], expected[i])) throw new Error(`value ${i}: ${actual[i]} is not ${expected[i]}`);
  }
}

/** Numbers as programs write them: whole, short and long decimals, exponents, float32 values in full. */
const numberText = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
  fc.float({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
  fc.integer().map(String),
  fc.maxSafeInteger().map(String),
  fc
    .tuple(fc.integer({ min: 0, max: 999 }), fc.stringMatching(/^[0-9]{1,30}$/))
    .map(([whole, part]) => `${whole}.${part}`),
  fc.stringMatching(/^-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?$/),
);

test('reads what JSON.parse reads, to the last bit', () => {
  fc.assert(
    fc.property(fc.array(numberText, { minLength: 1, maxLength: 50 }), (numbers) => {
      const text = `[${numbers.join(' , ')}]`;
      const parsed = JSON.parse(text) as number[];
      const single = read(text, new Float32Array(1));
      const double = read(text, new Float64Array(1));
      expectSame(single?.data ?? [], Float32Array.from(parsed));
      expectSame(double?.data ?? [], parsed);
      if (single?.isAllFinite === true) expect(single.data.every(Number.isFinite)).toBe(true);
      if (double?.isAllFinite === true) expect(double.data.every(Number.isFinite)).toBe(true);
    }),
    { numRuns: 3_000 },
  );
});

test('rounds the numbers beside the middle of two float32 values as JSON.parse does', () => {
  fc.assert(
    fc.property(
      fc.float({ min: 0, max: 1, noNaN: true }),
      fc.integer({ min: -3, max: 3 }),
      (value, steps) => {
        const bits = new Uint32Array(new Float32Array([value]).buffer).map((word) => word + 1);
        const [next = value] = new Float32Array(bits.buffer);
        const middle = (value + next) / 2 + steps * Number.EPSILON * value;
        const text = `[${middle.toFixed(20)},${middle.toPrecision(17)}]`;
        expectSame(
          read(text, new Float32Array(1))?.data ?? [],
          Float32Array.from(JSON.parse(text) as number[]),
        );
      },
    ),
    { numRuns: 2_000 },
  );
});

test('gives the shape of nested arrays', () => {
  const shape = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(shape, (sizes) => {
      let next = 0;
      const build = (axis: number): unknown =>
        axis === sizes.length ? next++ : Array.from({ length: sizes[axis] as number }, () => build(axis + 1));
      const result = read(JSON.stringify(build(0)), new Float32Array(1));
      expect(result?.shape).toEqual(sizes);
      expectSame(
        result?.data ?? [],
        Array.from({ length: next }, (_, i) => i),
      );
    }),
  );
});

test('never takes what JSON.parse refuses, and never throws', () => {
  const noise = fc.string({
    unit: fc.constantFrom(...'0123456789.-+eE,[] \n"nNI{}tf'.split('')),
    maxLength: 40,
  });
  fc.assert(
    fc.property(noise, (inner) => {
      const text = `[${inner}]`;
      const result = read(text, new Float64Array(1));
      if (result === undefined || result.end !== text.length) return;
      const parsed = JSON.parse(text) as unknown[];
      expectSame(result.data, parsed.flat(20) as number[]);
    }),
    { numRuns: 20_000 },
  );
});

test.each([
  '[]',
  '[[1],[2,3]]',
  '[1,[2]]',
  '[[1],2]',
  '[01]',
  '[1.]',
  '[.5]',
  '[+1]',
  '[1e]',
  '[NaN]',
  '[null]',
  '["1"]',
  '[1',
  '[1,]',
  '[true]',
])('leaves %s to JSON.parse', (text) => {
  expect(read(text, new Float32Array(1))).toBeUndefined();
});

test.each([255, 256, 257, 511, 512, 513, 1_000])('reads %i numbers, flat and in rows', (count) => {
  const numbers = Array.from({ length: count }, (_, i) => ((i * 7_919) % 10_007) / 10_007);
  const flat = numbers.map((value, i) => value.toFixed(i % 12)).join(',');
  const text = `[[${flat}],[${flat}]]`;
  const result = read(text, new Float64Array(1));
  expect(result).toMatchObject({ shape: [2, count], end: text.length });
  expectSame(result?.data ?? [], (JSON.parse(text) as number[][]).flat());
  expect(read(`[${flat},]`, new Float64Array(1))).toBeUndefined();
});

test('stops at its capacity', () => {
  expect(readNumberArray(Buffer.from('[1,2,3]'), 0, new Float32Array(1), 2)).toBeUndefined();
});
