export { adjustPValues } from './benjamini-hochberg.ts';
export type { Bins, CategoryBins, NumberBins } from './bins.ts';
export { FEATURES_MAX, REFERENCE_ROWS_MAX, SIZE_MIN } from './bounds.ts';
export type { FeatureColumn } from './build-reference.ts';
export { buildReference } from './build-reference.ts';
export type { Finding } from './decide.ts';
export { EFFECT_FLOORS, find } from './decide.ts';
export type { Histogram } from './histogram.ts';
export { countValues, emptyHistogram, mergeHistograms, rowsOf } from './histogram.ts';
export type {
  Check,
  CheckName,
  FeatureFindings,
  FeatureJudgement,
  Judgement,
  JudgeOptions,
} from './judge.ts';
export { compareFeature, conclude, judge, SHARE_FLOOR } from './judge.ts';
export type { NullDistributions } from './null-distribution.ts';
export { createNullDistributions } from './null-distribution.ts';
export type { Random } from './random.ts';
export { createRandom, drawGamma, drawMultinomial } from './random.ts';
export type { CategoryReference, FeatureReference, NumberReference } from './reference.ts';
export { DriftReference, encodeReference, parseReference, REFERENCE_FORMAT } from './reference.ts';
export type { StatisticName } from './statistics.ts';
export { isOrdered, measure, STATISTICS } from './statistics.ts';
