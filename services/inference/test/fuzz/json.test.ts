import { expect, test } from '@jest/globals';
import { shortestSingle } from '@millrace/contracts';
import fc from 'fast-check';
import type { IntegerType } from '../../src/tensors/integer-reader.ts';
import { readIntegerArray, WHOLE_RANGES } from '../../src/tensors/integer-reader.ts';
import { JsonCursor, parseSlice } from '../../src/tensors/json-cursor.ts';
import { assertEnd, objectMembers } from '../../src/tensors/predict-body.ts';
import { check, orRefused, surrounded } from './runs.ts';

const CAPACITY = 1_000;
const FILLERS = ['9', ']', '}', '"', ',', ' ', '\\'].map((text) => text.charCodeAt(0));
const place = fc.record({ filler: fc.constantFrom(...FILLERS), offset: fc.integer({ min: 0, max: 9 }) });

const TARGETS = {
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
} as const;

/** Whole numbers at and around the ends of the types, written in the ways that JSON has. */
const whole = fc.oneof(
  fc.bigInt({ min: -(2n ** 65n), max: 2n ** 65n }),
  fc.bigInt({ min: -300n, max: 300n }),
  fc
    .tuple(fc.constantFrom(7n, 8n, 15n, 16n, 31n, 32n, 53n, 63n, 64n), fc.bigInt({ min: -2n, max: 2n }))
    .map(([bits, more]) => 2n ** bits + more),
);
const written = fc
  .tuple(whole, fc.integer({ min: 0, max: 4 }), fc.integer({ min: 0, max: 3 }))
  .map(([value, zeros, form]) => {
    const text = value.toString();
    if (form === 1) return { value, text: `${text}.${'0'.repeat(zeros + 1)}` };
    if (form === 2) return { value: value * 10n ** BigInt(zeros), text: `${text}e+${zeros}` };
    if (form === 3 && value !== 0n) return { value, text: `${text}${'0'.repeat(zeros)}E-${zeros}` };
    return { value, text };
  });

test('whole numbers are exact or refused, in every type', () => {
  const type = fc.constantFrom(...(Object.keys(TARGETS) as IntegerType[]));
  check(
    fc.property(type, fc.array(written, { minLength: 1, maxLength: 20 }), place, (dtype, values, at) => {
      const text = `[${values.map((one) => one.text).join(' ,')}]`;
      const bytes = surrounded(Buffer.from(text), at.filler, at.offset);
      const read = readIntegerArray(bytes, 0, dtype, new TARGETS[dtype](1), CAPACITY);
      const [low, high] = WHOLE_RANGES[dtype];
      const fits = values.every(({ value }) => value >= low && value <= high);
      if (!fits) return expect(read).toBeUndefined();
      const got = Array.from(read?.data as Int32Array, (value: number | bigint) => BigInt(value));
      expect(got).toEqual(values.map(({ value }) => value));
      expect(read?.end).toBe(text.length);
    }),
    2_000,
  );
});

test('numbers that are not whole are never taken as such', () => {
  const fraction = fc
    .tuple(fc.bigInt({ min: 0n, max: 2n ** 60n }), fc.stringMatching(/^[0-9]{0,20}[1-9]$/))
    .map(([value, part]) => `${value}.${part}`);
  check(
    fc.property(fraction, (text) => {
      const read = readIntegerArray(Buffer.from(`[${text}]`), 0, 'int64', new BigInt64Array(1), CAPACITY);
      expect(read).toBeUndefined();
    }),
    1_000,
  );
});

/** What a reader of members makes of a text: the object, or undefined when it refuses it. */
function readObject(bytes: Buffer): Record<string, unknown> | undefined {
  return orRefused(() => {
    const { members, end } = objectMembers(bytes);
    assertEnd(bytes, end);
    return Object.fromEntries(
      members.map(({ key, start, end: to }) => [key, parseSlice(bytes, start, to)] as const),
    );
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

test('an object is read as JSON.parse reads it', () => {
  const key = fc.oneof(
    fc.string(),
    fc.string({ unit: 'grapheme' }),
    fc.constantFrom('__proto__', 'data', ''),
  );
  const value = fc.dictionary(key, fc.jsonValue({ maxDepth: 6 }), { maxKeys: 20 });
  const spaces = fc.constantFrom(undefined, 1, '\t');
  check(
    fc.property(value, spaces, place, (object, indent, at) => {
      const text = JSON.stringify(object, null, indent);
      const bytes = surrounded(Buffer.from(text), at.filler, at.offset);
      expect(readObject(bytes)).toEqual(Object.fromEntries(Object.entries(JSON.parse(text) as object)));
    }),
    1_500,
  );
});

test('what JSON.parse refuses is refused, and nothing but that', () => {
  const unit = fc.constantFrom(...'{}[]:,"\\ 0123456789-+.eEtrufalsn\n\u0000ü'.split(''));
  const noise = fc.string({ unit, maxLength: 30 });
  const broken = fc
    .tuple(fc.jsonValue({ maxDepth: 3 }), fc.nat(), fc.string({ unit, maxLength: 2 }), fc.nat(3))
    .map(([value, seed, piece, cut]) => {
      const text = JSON.stringify({ a: value, b: [value] });
      const index = seed % text.length;
      return text.slice(0, index) + piece + text.slice(index + cut);
    });
  check(
    fc.property(fc.oneof(noise, broken), place, (text, at) => {
      const bytes = surrounded(Buffer.from(text), at.filler, at.offset);
      const read = readObject(bytes);
      const expected = parsed(text);
      const isObject = typeof expected === 'object' && expected !== null && !Array.isArray(expected);
      // two members of one name are the one thing that is refused although JSON.parse takes it
      if (read !== undefined) expect(read).toEqual(Object.fromEntries(Object.entries(expected as object)));
      else if (isObject) expect(() => objectMembers(bytes)).toThrow(/twice/);
    }),
    6_000,
  );
});

test('a cursor steps over any value to its end', () => {
  check(
    fc.property(fc.jsonValue({ maxDepth: 8 }), place, (value, at) => {
      const text = `[${JSON.stringify(value)}, 1]`;
      const cursor = new JsonCursor(surrounded(Buffer.from(text), at.filler, at.offset));
      cursor.openArray();
      expect(cursor.nextElement(true)).toBe(true);
      cursor.skip();
      expect(cursor.nextElement(false)).toBe(true);
      expect(cursor.value()).toBe(1);
      expect(cursor.nextElement(false)).toBe(false);
      cursor.end();
    }),
    1_500,
  );
});

test('a float32 is written with the fewest digits that give it back', () => {
  const bits = fc.integer({ min: 0, max: 0xffff_ffff }).map((word) => {
    return new Float32Array(new Uint32Array([word]).buffer)[0] as number;
  });
  const usual = fc.float({ min: Math.fround(-1e7), max: Math.fround(1e7), noNaN: true });
  const digitsOf = (value: number) =>
    Math.abs(value)
      .toExponential()
      .replace(/e.*$|\./g, '').length;
  check(
    fc.property(fc.oneof(bits, usual), (value) => {
      const short = shortestSingle(value);
      expect(Object.is(Math.fround(short), value) || (value === 0 && short === 0)).toBe(true);
      if (!Number.isFinite(value) || value === 0) return;
      let fewest = 1;
      while (Math.fround(Number(value.toPrecision(fewest))) !== value) fewest += 1;
      expect(digitsOf(short)).toBeLessThanOrEqual(Math.max(fewest, 6));
    }),
    5_000,
  );
});
