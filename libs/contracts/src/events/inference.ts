import type { Static } from 'typebox';
import Type from 'typebox';
import { Name, Timestamp, Uuid } from '../primitives.ts';

/**
 * A tensor of a prediction: its values as JSON when they are few, as bytes up to 4 KiB, else only its shape and digest;
 * a large one has no digest while its kind comes faster than a process may hash.
 */
export const TensorSummary = Type.Object({
  name: Type.String(),
  dtype: Type.String(),
  shape: Type.Array(Type.Integer({ minimum: 0 })),
  /** SHA-256 of the little-endian bytes. */
  sha256: Type.Optional(Type.String()),
  values: Type.Optional(Type.Array(Type.Union([Type.Number(), Type.String(), Type.Boolean(), Type.Null()]))),
  /** Little-endian bytes, row-major (float16 as its bits, bool as 0 or 1), in place of `values`. */
  data: Type.Optional(Type.String({ contentEncoding: 'base64', maxLength: 8192 })),
});
export type TensorSummary = Static<typeof TensorSummary>;

/** One answered prediction. */
export const Prediction = Type.Object({
  inferenceId: Uuid,
  time: Timestamp,
  latencyMs: Type.Number({ minimum: 0 }),
  confidence: Type.Union([Type.Number(), Type.Null()]),
  userId: Type.Optional(Type.String({ maxLength: 255 })),
  sessionId: Type.Optional(Type.String({ maxLength: 255 })),
  inputs: Type.Array(TensorSummary),
  outputs: Type.Array(TensorSummary),
});
export type Prediction = Static<typeof Prediction>;

/**
 * A batch of predictions of one model version, on `millrace.tel.prediction.<modelVersionId>`.
 * `dropped` counts predictions that the sender had to give up since its last batch of this version.
 * A batch without predictions reports only those.
 */
export const PredictionBatch = Type.Object({
  batchId: Uuid,
  source: Uuid,
  sequence: Type.Integer({ minimum: 0 }),
  modelVersionId: Uuid,
  /** Whose model it is; the platform's own tenant when absent. */
  tenant: Type.Optional(Type.String()),
  model: Name,
  version: Type.String(),
  framework: Type.String(),
  dropped: Type.Integer({ minimum: 0 }),
  predictions: Type.Array(Prediction, { maxItems: 1000 }),
});
export type PredictionBatch = Static<typeof PredictionBatch>;
