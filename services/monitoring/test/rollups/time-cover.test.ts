import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { coverRange, DAY_MS } from '../../src/rollups/time-cover.ts';

const NOW = Date.parse('2026-11-22T10:00:00Z');
const KEPT = { predictions: 30, minutes: 30, hours: 400, days: 3_650 };
const at = (time: string): number => Date.parse(time);
const cover = (from: number, to: number) => coverRange(from, to, NOW, KEPT);

describe('a range of time', () => {
  test('is cut into pieces that follow each other, whole but for its ends', () => {
    const instant = fc.integer({ min: NOW - 20 * DAY_MS, max: NOW });
    fc.assert(
      fc.property(instant, instant, (one, other) => {
        const [from, to] = [Math.min(one, other), Math.max(one, other)];
        const { segments, isExact } = cover(from, to);
        expect(isExact).toBe(true);
        let end = from;
        for (const segment of segments) {
          expect(segment.from).toBe(end);
          end = segment.to;
          if (segment.widthMs > 0) expect(segment.from % segment.widthMs).toBe(0);
          if (segment.widthMs > 0) expect(segment.to % segment.widthMs).toBe(0);
          else expect(segment.to - segment.from).toBeLessThan(2 * 60_000);
        }
        expect(end).toBe(to);
        expect(segments.length).toBeLessThanOrEqual(7);
      }),
    );
  });

  test('without ends is days alone', () => {
    const { segments } = cover(Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY);
    expect(segments).toEqual([{ widthMs: DAY_MS, from: -Infinity, to: Infinity }]);
  });

  test('with one end is days and what is left of one', () => {
    const { segments } = cover(at('2026-11-21T22:58:30Z'), Number.POSITIVE_INFINITY);
    expect(segments).toEqual([
      { widthMs: 0, from: at('2026-11-21T22:58:30Z'), to: at('2026-11-21T22:59:00Z') },
      { widthMs: 60_000, from: at('2026-11-21T22:59:00Z'), to: at('2026-11-21T23:00:00Z') },
      { widthMs: 3_600_000, from: at('2026-11-21T23:00:00Z'), to: at('2026-11-22T00:00:00Z') },
      { widthMs: DAY_MS, from: at('2026-11-22T00:00:00Z'), to: Number.POSITIVE_INFINITY },
    ]);
  });

  test('that is empty has no piece', () => {
    expect(cover(NOW, NOW).segments).toEqual([]);
    expect(cover(Number.POSITIVE_INFINITY, NOW).segments).toEqual([]);
  });

  test('whose predictions are gone is widened to what is still known', () => {
    const old = cover(at('2026-10-01T10:20:30Z'), at('2026-10-01T11:00:30Z'));
    expect(old).toMatchObject({
      isExact: false,
      from: at('2026-10-01T10:00:00Z'),
      to: at('2026-10-01T12:00:00Z'),
    });
    const older = cover(at('2024-10-01T10:20:30Z'), NOW);
    expect(older).toMatchObject({ isExact: false, from: at('2024-10-01T00:00:00Z'), to: NOW });
  });
});
