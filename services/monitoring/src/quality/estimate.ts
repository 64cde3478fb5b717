import { CONFIDENCE_BINS } from '../rollups/rollup-counts.ts';

/** An estimate needs this many predictions whose truth is known. */
export const LABELS_MIN = 100;
/** The share of right ones of all bins counts in each bin like so many labels, so that a bin of few is no outlier. */
const PRIOR_LABELS = 10;
/** Half the width of an interval of 95 % in standard errors. */
const Z_95 = 1.96;

/** Predictions with a known truth whose confidence lies in one of the equal parts of [0, 1]. */
export type LabelledBin = { readonly place: number; readonly count: number; readonly right: number };

/** The accuracy that the confidences of predictions without a known truth lead to expect. */
export type AccuracyEstimate = {
  readonly accuracy: number;
  /** 95 % of what the labels leave open; not of what the assumptions do. */
  readonly low: number;
  readonly high: number;
  readonly predictions: number;
  readonly labelled: number;
};

/**
 * Estimates the accuracy of predictions by their confidences alone: each part of [0, 1] is expected to be right as often
 * as it was where the truth is known, as in confidence-based performance estimation (NannyML's CBPE). Assumes that a
 * confidence still means what it meant (no concept drift) and that the known truths are no special choice. `bins` counts
 * the predictions by part. Null with fewer than LABELS_MIN labels or without predictions.
 */
export function estimateAccuracy(
  bins: readonly number[],
  labelled: readonly LabelledBin[],
): AccuracyEstimate | null {
  const predictions = bins.reduce((sum, count) => sum + count, 0);
  const labels = labelled.reduce((sum, { count }) => sum + count, 0);
  if (predictions === 0 || labels < LABELS_MIN) return null;
  const overall = labelled.reduce((sum, { right }) => sum + right, 0) / labels;
  let accuracy = 0;
  let variance = 0;
  for (let place = 0; place < CONFIDENCE_BINS; place += 1) {
    const weight = (bins[place] ?? 0) / predictions;
    const known = labelled.find((bin) => bin.place === place) ?? { count: 0, right: 0 };
    const weightOfLabels = known.count + PRIOR_LABELS;
    const share = (known.right + PRIOR_LABELS * overall) / weightOfLabels;
    accuracy += weight * share;
    variance += (weight ** 2 * share * (1 - share)) / weightOfLabels;
  }
  const half = Z_95 * Math.sqrt(variance);
  return {
    accuracy,
    low: Math.max(0, accuracy - half),
    high: Math.min(1, accuracy + half),
    predictions,
    labelled: labels,
  };
}
