import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { canonicalJson } from '../src/index.ts';

test('the example of RFC 8785 comes out byte for byte', () => {
  const value = {
    numbers: JSON.parse('[333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001]') as number[],
    string: '\u20ac$\u000f\u000aA\'\u0042\u0022\u005c\\"/',
    literals: [null, true, false],
  };
  expect(canonicalJson(value)).toBe(
    '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
      '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
  );
});

test('keys are sorted by UTF-16 code unit, as the RFC says', () => {
  const keys = { '\u20ac': 1, '\r': 2, '\ufb33': 3, '1': 4, '\u{1f600}': 5, '\u0080': 6, '\u00f6': 7 };
  expect(canonicalJson(keys)).toBe('{"\\r":2,"1":4,"\u0080":6,"ö":7,"€":1,"😀":5,"\ufb33":3}');
});

test('it parses back to an equal value and does not depend on the order of keys', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const json = JSON.parse(JSON.stringify(value)) as unknown;
      expect(JSON.parse(canonicalJson(json))).toEqual(json);
      expect(canonicalJson(reversed(json))).toBe(canonicalJson(json));
    }),
    { numRuns: 300, seed: 7 },
  );
});

test.each([
  ['NaN', { a: Number.NaN }],
  ['Infinity', [Number.POSITIVE_INFINITY]],
  ['undefined', undefined],
  ['a bigint', { a: 1n }],
  ['a lone surrogate', { a: 'x\ud800y' }],
  ['a lone surrogate in a key', { '\udc00': 1 }],
])('%s has no canonical JSON', (_name, value) => {
  expect(() => canonicalJson(value)).toThrow(TypeError);
});

test('text that only looks like an escaped surrogate is kept', () => {
  expect(canonicalJson('\\ud800')).toBe('"\\\\ud800"');
});

test('a cycle is refused', () => {
  const value: Record<string, unknown> = {};
  value.self = value;
  expect(() => canonicalJson(value)).toThrow(/Circular/);
});

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, child]) => [key, reversed(child)]),
  );
}
