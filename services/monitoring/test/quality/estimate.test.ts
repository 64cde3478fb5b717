import { describe, expect, test } from '@jest/globals';
import { estimateAccuracy, LABELS_MIN } from '../../src/quality/estimate.ts';

const bins = (counts: Record<number, number>): number[] =>
  Array.from({ length: 20 }, (_, place) => counts[place] ?? 0);

describe('the estimate of an accuracy', () => {
  test('follows where the confidences go, by what they were worth', () => {
    const labelled = [
      { place: 19, count: 5_000, right: 4_750 },
      { place: 10, count: 5_000, right: 2_500 },
    ];
    const sure = estimateAccuracy(bins({ 19: 900, 10: 100 }), labelled);
    const unsure = estimateAccuracy(bins({ 19: 100, 10: 900 }), labelled);
    expect(sure?.accuracy).toBeCloseTo(0.9 * 0.95 + 0.1 * 0.5, 2);
    expect(unsure?.accuracy).toBeCloseTo(0.1 * 0.95 + 0.9 * 0.5, 2);
    expect(sure?.low).toBeLessThan(sure?.accuracy as number);
    expect(sure?.high).toBeGreaterThan(sure?.accuracy as number);
    expect(sure).toMatchObject({ predictions: 1_000, labelled: 10_000 });
  });

  test('holds a part without labels for as good as all, and says that it is less sure', () => {
    const labelled = [{ place: 19, count: 1_000, right: 800 }];
    const known = estimateAccuracy(bins({ 19: 100 }), labelled);
    const unknown = estimateAccuracy(bins({ 3: 100 }), labelled);
    expect(unknown?.accuracy).toBeCloseTo(0.8, 6);
    const width = (one: typeof known) => (one?.high ?? 0) - (one?.low ?? 0);
    expect(width(unknown)).toBeGreaterThan(5 * width(known));
  });

  test('is not made of few labels or of no predictions', () => {
    const few = [{ place: 19, count: LABELS_MIN - 1, right: 90 }];
    expect(estimateAccuracy(bins({ 19: 10 }), few)).toBeNull();
    expect(estimateAccuracy(bins({}), [{ place: 19, count: LABELS_MIN, right: 90 }])).toBeNull();
    expect(estimateAccuracy(bins({ 19: 10 }), [])).toBeNull();
  });
});
