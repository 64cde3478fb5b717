import type { Operation } from './operation.ts';
import { cast } from './steps/cast.ts';
import { labelMap, oneHot } from './steps/labels.ts';
import { argMax, topK } from './steps/ranking.ts';
import { minMax, normaliseImage, standardScaler } from './steps/scaling.ts';
import { concat, reshape, squeeze } from './steps/shaping.ts';
import { softmax } from './steps/softmax.ts';

/** Every kind of built-in step by its name. */
export const operations = {
  softmax,
  'arg-max': argMax,
  'top-k': topK,
  'standard-scaler': standardScaler,
  'min-max': minMax,
  'normalise-image': normaliseImage,
  'one-hot': oneHot,
  'label-map': labelMap,
  concat,
  cast,
  reshape,
  squeeze,
} as const satisfies Record<string, Operation>;

/** Name of a kind of built-in step. */
export type OperationKind = keyof typeof operations;
