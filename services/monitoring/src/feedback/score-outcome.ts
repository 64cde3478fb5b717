import type { TensorSummary } from '@millrace/contracts';
import type { ReadPrediction } from './read-prediction.ts';
import { classLabel, readPrediction } from './read-prediction.ts';

/** Scores of models with more classes than this are not kept, so that they have no AUC. */
const SCORES_KEPT_MAX = 20;
/** A single probability from here on says class 1. */
const THRESHOLD = 0.5;

/** What an outcome says of a classification. */
export type ClassificationScore = {
  readonly kind: 'classification';
  readonly truth: string;
  readonly predicted: string;
  /** Place of the truth among the scores, where classes are known by their place. */
  readonly truthIndex: number | null;
  readonly scores: readonly number[] | null;
  readonly predictedProbability: number | null;
  readonly truthProbability: number | null;
  /** Sum over the classes of the squared difference of probability and truth, 0 to 2. */
  readonly brier: number | null;
};

/** What an outcome says of a regression. */
export type RegressionScore = {
  readonly kind: 'regression';
  readonly truthValue: number;
  readonly predictedValue: number;
};

export type OutcomeScore = ClassificationScore | RegressionScore;

/** The class or number that an outcome tells; a bare number is a class where the model gives classes. */
function readOutcome(outcome: unknown, givesClasses: boolean): { truth?: string; value?: number } {
  if (typeof outcome === 'object' && outcome !== null && !Array.isArray(outcome)) {
    const { class: named, label, value } = outcome as Record<string, unknown>;
    const truth = classLabel(named ?? label);
    if (truth !== undefined) return { truth };
    return typeof value === 'number' ? { value } : {};
  }
  if (typeof outcome === 'number' && !givesClasses) return { value: outcome };
  const truth = classLabel(outcome);
  return truth === undefined ? {} : { truth };
}

function largest(scores: readonly number[]): number {
  return scores.reduce((best, score, index) => (score > (scores[best] as number) ? index : best), 0);
}

/**
 * Place of the truth among the scores. Labels that are no places (texts, or whole numbers that are not the place of the
 * largest score) tell it only of two classes, of which the predicted one is known.
 */
function placeOfTruth(scores: readonly number[], truth: string, label: string | undefined): number | null {
  const best = largest(scores);
  if (label === undefined || label === String(best)) {
    const place = /^\d{1,4}$/.test(truth) ? Number(truth) : scores.length;
    return place < scores.length ? place : null;
  }
  return scores.length === 2 ? (truth === label ? best : 1 - best) : null;
}

function classification(
  truth: string,
  scores: readonly number[],
  label: string | undefined,
): ClassificationScore {
  const best = largest(scores);
  const truthIndex = placeOfTruth(scores, truth, label);
  const distance = (score: number, index: number): number => (score - (index === truthIndex ? 1 : 0)) ** 2;
  return {
    kind: 'classification',
    truth,
    predicted: label ?? String(best),
    truthIndex,
    scores: truthIndex === null || scores.length > SCORES_KEPT_MAX ? null : scores,
    predictedProbability: scores[best] as number,
    truthProbability: truthIndex === null ? null : (scores[truthIndex] as number),
    brier: truthIndex === null ? null : scores.reduce((sum, score, index) => sum + distance(score, index), 0),
  };
}

function classificationOf(
  truth: string,
  { scores, label, value }: ReadPrediction,
): ClassificationScore | undefined {
  if (scores !== undefined) return classification(truth, scores, label);
  if (label !== undefined)
    return {
      kind: 'classification',
      truth,
      predicted: label,
      truthIndex: null,
      scores: null,
      predictedProbability: null,
      truthProbability: null,
      brier: null,
    };
  const isBinary = value !== undefined && value >= 0 && value <= 1 && (truth === '0' || truth === '1');
  // one output is the probability of class 1
  return isBinary ? classification(truth, [1 - value, value], value >= THRESHOLD ? '1' : '0') : undefined;
}

/**
 * Compares what happened with what was predicted; undefined where they cannot be compared. `{class}` and `{label}` tell
 * a class, `{value}` a number; bare texts, booleans and numbers are read as they fit the model.
 */
export function scoreOutcome(outputs: readonly TensorSummary[], outcome: unknown): OutcomeScore | undefined {
  const prediction = readPrediction(outputs);
  const givesClasses = prediction.scores !== undefined || prediction.label !== undefined;
  const { truth, value } = readOutcome(outcome, givesClasses);
  if (truth !== undefined) return classificationOf(truth, prediction);
  if (value === undefined || prediction.value === undefined) return undefined;
  return { kind: 'regression', truthValue: value, predictedValue: prediction.value };
}

/** Whether a prediction was right, where that is a question of yes and no. */
export function isRight(score: OutcomeScore | undefined): boolean | undefined {
  return score?.kind === 'classification' ? score.truth === score.predicted : undefined;
}
