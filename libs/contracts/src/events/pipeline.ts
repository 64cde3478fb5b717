import Type from 'typebox';
import { ConvertSpec } from '../jobs/specs.ts';
import { ArtifactRef, JsonObject, Name, Sha256, Uuid, WireError } from '../primitives.ts';
import { defineEvent } from './define-event.ts';

export const PipelineDatasetRequested = defineEvent({
  name: 'pipeline.dataset-requested',
  doc: 'A pipeline needs a dataset version made by a recipe generator (an equal one is reused).',
  data: Type.Object({ pipelineId: Uuid, recipe: Type.String(), params: JsonObject, name: Name }),
});

export const PipelineConversionRequested = defineEvent({
  name: 'pipeline.conversion-requested',
  doc: 'A pipeline has a trained model that is to be converted.',
  data: Type.Object({ pipelineId: Uuid, spec: ConvertSpec }),
});

/** Files, digests and origin of a model version that is to be registered. */
export const PipelineRegistrationRequested = defineEvent({
  name: 'pipeline.registration-requested',
  doc: 'A pipeline has a converted model that is to be verified, signed and registered.',
  data: Type.Object({
    pipelineId: Uuid,
    /** The principal that started the pipeline, and so is the registrant. */
    by: Type.Optional(Type.String()),
    model: Name,
    version: Type.Optional(Name),
    framework: Type.Literal('onnx'),
    files: Type.Array(ArtifactRef, { minItems: 1 }),
    weightsDigest: Sha256,
    graphDigests: Type.Record(Type.String(), Sha256),
    trainingJobId: Uuid,
    conversionJobId: Uuid,
    dataset: Type.Object({ datasetId: Uuid, versionId: Uuid, digest: Sha256 }),
    recipe: Type.String(),
    params: JsonObject,
    trainingMeta: JsonObject,
    conversionMeta: JsonObject,
  }),
});

export const PipelineSucceeded = defineEvent({
  name: 'pipeline.succeeded',
  doc: 'A pipeline ended with a model version that inference has loaded.',
  data: Type.Object({
    pipelineId: Uuid,
    modelVersionId: Uuid,
    model: Name,
    version: Type.String(),
    isReused: Type.Boolean(),
  }),
});

export const PipelineFailed = defineEvent({
  name: 'pipeline.failed',
  doc: 'A pipeline ended without a model version; `stage` says where.',
  data: Type.Object({ pipelineId: Uuid, stage: Type.String(), error: WireError }),
});

export const PipelineCancelled = defineEvent({
  name: 'pipeline.cancelled',
  doc: 'A pipeline was cancelled; whoever works for it stops.',
  data: Type.Object({ pipelineId: Uuid, stage: Type.String() }),
});
