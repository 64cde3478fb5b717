import type { Static } from 'typebox';
import Type from 'typebox';
import { ArtifactRef, JsonObject, Sha256, Uuid } from '../primitives.ts';
import { GraphOptions, Quantization } from './conversion-options.ts';

/** The dataset version a job reads: fixed by digest, with the files to fetch. */
export const DatasetInput = Type.Object({
  datasetId: Uuid,
  versionId: Uuid,
  digest: Sha256,
  files: Type.Array(ArtifactRef, { minItems: 1, maxItems: 10_000 }),
});
export type DatasetInput = Static<typeof DatasetInput>;

/** Spec of a `train` job. */
export const TrainSpec = Type.Object({
  recipe: Type.String({ minLength: 1, maxLength: 64 }),
  params: JsonObject,
  dataset: DatasetInput,
});
export type TrainSpec = Static<typeof TrainSpec>;

/** Spec of an `ingest` job: a recipe's generator makes the files of a dataset version. */
export const IngestSpec = Type.Object({
  datasetId: Uuid,
  versionId: Uuid,
  recipe: Type.String({ minLength: 1, maxLength: 64 }),
  params: JsonObject,
});
export type IngestSpec = Static<typeof IngestSpec>;

/**
 * Spec of a `convert` job: files of a trained model (`saved_model/…`, `samples.npz`, `meta.json`), of a `model.keras`, of a
 * TF.js graph (`tfjs/…`) or of weights (`model.safetensors`, `architecture.json`) to ONNX.
 */
export const ConvertSpec = Type.Object({
  /** The pipeline or the import that asked for it, if one did. */
  requestId: Type.Optional(Uuid),
  source: Type.Object({
    trainingJobId: Type.Optional(Uuid),
    /** What the files are; a SavedModel unless given. */
    format: Type.Optional(
      Type.Union([
        Type.Literal('saved_model'),
        Type.Literal('keras'),
        Type.Literal('tfjs_graph'),
        Type.Literal('weights'),
      ]),
    ),
    files: Type.Array(ArtifactRef, { minItems: 1, maxItems: 10_000 }),
  }),
  format: Type.Literal('onnx'),
  opset: Type.Integer({ minimum: 13, maximum: 18 }),
  tag: Type.String({ minLength: 1, maxLength: 64 }),
  signature: Type.String({ minLength: 1, maxLength: 64 }),
  /** Largest absolute difference allowed between the ONNX model and the framework on the samples. */
  tolerance: Type.Number({ exclusiveMinimum: 0, maximum: 1 }),
  /** For sources of format weights. */
  graph: Type.Optional(GraphOptions),
  quantization: Type.Optional(Quantization),
});
export type ConvertSpec = Static<typeof ConvertSpec>;
