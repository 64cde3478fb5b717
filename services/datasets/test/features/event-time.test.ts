import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { instantOf, isFresh, microsOf } from '../../src/features/event-time.ts';

const YEAR_US = 366 * 24 * 60 * 60 * 1_000_000;

test('an instant keeps its microseconds, there and back', () => {
  fc.assert(
    fc.property(fc.integer({ min: -60 * YEAR_US, max: 200 * YEAR_US }), (us) => {
      expect(microsOf(instantOf(us))).toBe(us);
    }),
  );
});

test.each([
  ['2026-11-22T06:00:00Z', '2026-11-22T06:00:00.000Z'],
  ['2026-11-22 07:30:00.5+01:30', '2026-11-22T06:00:00.500Z'],
  ['2026-11-22t06:00:00.123456z', '2026-11-22T06:00:00.123456Z'],
  ['1969-12-31T23:59:59.999999000Z', '1969-12-31T23:59:59.999999Z'],
])('%s is an instant', (text, same) => {
  expect(instantOf(microsOf(text) ?? Number.NaN)).toBe(same);
});

test.each([
  '',
  '2026-11-22',
  '2026-11-22T06:00:00',
  '2026-13-01T00:00:00Z',
  '2026-11-22T06:00:00.1234567Z',
  '1732255200',
])('%j is none: it has no zone, no such day, or is finer than a microsecond', (text) => {
  expect(microsOf(text)).toBeUndefined();
});

test('a value counts until it is as old as the TTL, and not a microsecond longer', () => {
  expect([isFresh(0, 60_000_000, 60), isFresh(0, 60_000_001, 60), isFresh(0, 1e15, null)]).toEqual([
    true,
    false,
    true,
  ]);
});
