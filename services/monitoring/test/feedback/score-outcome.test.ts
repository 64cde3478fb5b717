import { describe, expect, test } from '@jest/globals';
import { isRight, scoreOutcome } from '../../src/feedback/score-outcome.ts';

type Values = (number | string | boolean | null)[];
const tensor = (dtype: string, values: Values, shape = [1, values.length]) => ({
  name: 'output',
  dtype,
  shape,
  values,
});
const scores = tensor('float32', [0.7, 0.2, 0.1]);

describe('an outcome beside a prediction', () => {
  test('of probabilities is scored by the place of its class', () => {
    expect(scoreOutcome([scores], { class: 1 })).toEqual({
      kind: 'classification',
      truth: '1',
      predicted: '0',
      truthIndex: 1,
      scores: [0.7, 0.2, 0.1],
      predictedProbability: 0.7,
      truthProbability: 0.2,
      brier: expect.closeTo(0.49 + 0.64 + 0.01, 12),
    });
    expect(isRight(scoreOutcome([scores], { class: 0 }))).toBe(true);
    // a class that the model does not know is wrong, and has no probability
    expect(scoreOutcome([scores], { class: 7 })).toMatchObject({ truth: '7', truthIndex: null, brier: null });
  });

  test('of a label is right or wrong', () => {
    const label = tensor('int64', [2], [1]);
    expect(scoreOutcome([label], { class: 2 })).toMatchObject({ predicted: '2', truth: '2', brier: null });
    expect(isRight(scoreOutcome([tensor('string', ['cat'], [1])], { label: 'dog' }))).toBe(false);
    expect(isRight(scoreOutcome([tensor('bool', [true], [1])], true))).toBe(true);
  });

  test('of a label and probabilities: labels that are no places tell theirs only of two classes', () => {
    const two = tensor('float32', [0.25, 0.75]);
    expect(scoreOutcome([tensor('string', ['yes'], [1]), two], { class: 'no' })).toMatchObject({
      predicted: 'yes',
      truthIndex: 0,
      truthProbability: 0.25,
    });
    expect(scoreOutcome([tensor('int64', [5], [1]), scores], { class: 5 })).toMatchObject({
      predicted: '5',
      truth: '5',
      truthIndex: null,
      predictedProbability: 0.7,
    });
    expect(scoreOutcome([tensor('int64', [0], [1]), scores], { class: 2 })).toMatchObject({ truthIndex: 2 });
  });

  test('of one probability is of two classes', () => {
    const sigmoid = tensor('float32', [0.25], [1, 1]);
    expect(scoreOutcome([sigmoid], { class: 1 })).toMatchObject({
      predicted: '0',
      truthProbability: 0.25,
      predictedProbability: 0.75,
    });
    expect(scoreOutcome([sigmoid], { class: 'cat' })).toBeUndefined();
  });

  test('of a number is the number', () => {
    const value = tensor('float32', [20.5], [1, 1]);
    const expected = { kind: 'regression', truthValue: 21, predictedValue: 20.5 };
    expect(scoreOutcome([value], { value: 21 })).toEqual(expected);
    expect(scoreOutcome([value], 21)).toEqual(expected);
    expect(isRight(scoreOutcome([value], 21))).toBeUndefined();
  });

  test.each([
    ['several rows', [tensor('float32', [0.5, 0.5, 0.5, 0.5], [2, 2])], { class: 1 }],
    ['values that did not travel', [{ name: 'o', dtype: 'float32', shape: [1, 5_000] }], { class: 1 }],
    ['an outcome without a class', [scores], { note: 'fine' }],
    ['an outcome of nothing', [scores], null],
    ['a class of infinite length', [scores], { class: 'x'.repeat(300) }],
    ['a number beside classes', [scores], { value: 3 }],
    ['a class beside a number', [tensor('float32', [20.5], [1, 1])], { class: 1 }],
  ])('cannot be compared: %s', (_what, outputs, outcome) => {
    expect(scoreOutcome(outputs, outcome)).toBeUndefined();
  });
});
