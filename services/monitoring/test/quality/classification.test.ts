import { describe, expect, test } from '@jest/globals';
import { classificationQuality, expectedCalibrationError } from '../../src/quality/classification.ts';

describe('quality of a classification', () => {
  test('a class that is never true or never predicted has no ratio, and counts as 0', () => {
    const quality = classificationQuality([
      { truth: 'a', predicted: 'a', count: 3 },
      { truth: 'b', predicted: 'c', count: 1 },
    ]);
    expect(quality).toMatchObject({ count: 4, accuracy: 0.75, macroF1: 1 / 3, macroRecall: 1 / 3 });
    expect(quality?.classes).toEqual([
      { label: 'a', support: 3, precision: 1, recall: 1, f1: 1 },
      { label: 'b', support: 1, precision: null, recall: 0, f1: 0 },
      { label: 'c', support: 0, precision: 0, recall: null, f1: 0 },
    ]);
  });

  test('nothing has no quality', () => {
    expect(classificationQuality([])).toBeNull();
    expect(expectedCalibrationError([])).toBeNull();
  });

  test('labels named like properties of every object are labels', () => {
    const quality = classificationQuality([{ truth: '__proto__', predicted: 'constructor', count: 2 }]);
    expect(quality?.classes.map(({ label }) => label)).toEqual(['__proto__', 'constructor']);
  });
});
