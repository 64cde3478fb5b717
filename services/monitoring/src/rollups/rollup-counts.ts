import type { LatencySketch } from './latency-sketch.ts';
import { addToSketch, LATENCY_MAX_MS, latencyKey } from './latency-sketch.ts';
import { ROLLUP_WIDTHS_MS } from './time-cover.ts';

/** Equal parts of [0, 1] in which confidences are counted. */
export const CONFIDENCE_BINS = 20;
/** Confidences are shares; one of a model that breaks this counts as at most this, so that sums stay in their range. */
export const CONFIDENCE_MAX = 1e6;
const NS_PER_MS = 1e6;
const NANO = 1e9;

/** What a roll-up counts of one prediction. */
export type CountedPrediction = {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly stage: string;
  readonly latencyMs: number;
  readonly confidence: number | null;
  readonly sizeBytes: number;
};

/** What is added to the roll-up of a stage, a width and a start; sums are whole numbers. */
export type RollupIncrement = {
  readonly stage: string;
  readonly widthSeconds: number;
  readonly startAt: string;
  predictions: number;
  latencyNs: number;
  confidences: number;
  confidenceNano: number;
  confidenceBins: number[];
  sizeBytes: number;
  judged: number;
  correct: number;
  sketch: LatencySketch;
};

/** As Postgres rounds it in `floor(x + 0.5)`, so that sums of rows and of roll-ups are the same number. */
const whole = (value: number): number => Math.floor(value + 0.5);

function emptyIncrement(stage: string, widthMs: number, start: number): RollupIncrement {
  return {
    stage,
    widthSeconds: widthMs / 1000,
    startAt: new Date(start).toISOString(),
    predictions: 0,
    latencyNs: 0,
    confidences: 0,
    confidenceNano: 0,
    confidenceBins: new Array<number>(CONFIDENCE_BINS).fill(0),
    sizeBytes: 0,
    judged: 0,
    correct: 0,
    sketch: new Map(),
  };
}

/** The part of [0, 1] that a confidence lies in. */
function confidenceBin(confidence: number): number {
  return Math.min(CONFIDENCE_BINS - 1, Math.max(0, Math.floor(confidence * CONFIDENCE_BINS)));
}

function add(to: RollupIncrement, { latencyMs, confidence, sizeBytes }: CountedPrediction): void {
  to.predictions += 1;
  to.latencyNs += whole(Math.min(latencyMs, LATENCY_MAX_MS) * NS_PER_MS);
  to.sizeBytes += sizeBytes;
  addToSketch(to.sketch, latencyKey(latencyMs), 1);
  if (confidence === null) return;
  const bin = confidenceBin(confidence);
  to.confidences += 1;
  to.confidenceNano += whole(Math.min(Math.max(confidence, -CONFIDENCE_MAX), CONFIDENCE_MAX) * NANO);
  to.confidenceBins[bin] = (to.confidenceBins[bin] ?? 0) + 1;
}

/** Finds the increment of an instant and a stage in each width, and makes those that are missing. */
function collector(): {
  at(instant: number, stage: string): RollupIncrement[];
  all(): RollupIncrement[];
} {
  const found = new Map<string, RollupIncrement>();
  return {
    at: (instant, stage) =>
      ROLLUP_WIDTHS_MS.map((widthMs) => {
        const start = Math.floor(instant / widthMs) * widthMs;
        const key = `${widthMs} ${start} ${stage}`;
        const known = found.get(key) ?? emptyIncrement(stage, widthMs, start);
        found.set(key, known);
        return known;
      }),
    all: () => [...found.values()],
  };
}

/** What predictions of one version add to the roll-ups of their minutes, hours and days. */
export function countPredictions(predictions: readonly CountedPrediction[]): RollupIncrement[] {
  const increments = collector();
  for (const prediction of predictions) {
    for (const increment of increments.at(prediction.at, prediction.stage)) add(increment, prediction);
  }
  return increments.all();
}

/** A verdict on a prediction that feedback gave, or took back (`sign` -1). */
export type Verdict = {
  readonly at: number;
  readonly stage: string;
  readonly isCorrect: boolean;
  readonly sign: 1 | -1;
};

/** What verdicts on predictions of one version add to its roll-ups. */
export function countVerdicts(verdicts: readonly Verdict[]): RollupIncrement[] {
  const increments = collector();
  for (const { at, stage, isCorrect, sign } of verdicts) {
    for (const increment of increments.at(at, stage)) {
      increment.judged += sign;
      if (isCorrect) increment.correct += sign;
    }
  }
  return increments.all();
}
