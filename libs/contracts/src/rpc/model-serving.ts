import type { Static } from 'typebox';
import Type from 'typebox';
import { Stage } from '../events/model-version.ts';
import { ArtifactRef, JsonObject, Name, Sha256, Uuid } from '../primitives.ts';
import { RolloutPlan } from '../rollouts/rollout.ts';

/** `millrace.rpc.registry.resolve`: a version by id, or by model name or id and label or ordinal (default: see the reply). */
export const ResolveVersionRequest = Type.Object({
  modelVersionId: Type.Optional(Uuid),
  modelId: Type.Optional(Uuid),
  /** Whose model is meant by a name; the platform's own tenant when absent. */
  tenant: Type.Optional(Type.String()),
  model: Type.Optional(Name),
  version: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
});
export type ResolveVersionRequest = Static<typeof ResolveVersionRequest>;

/** What a server needs to verify and load a version; without a version asked for, production else the newest. */
export const ResolvedVersion = Type.Object({
  modelVersionId: Uuid,
  modelId: Uuid,
  /** Whose model it is; the platform's own tenant when absent. */
  tenant: Type.Optional(Type.String()),
  model: Name,
  version: Type.String({ description: 'The label.' }),
  ordinal: Type.Integer({ minimum: 1 }),
  stage: Stage,
  framework: Type.String(),
  packageDigest: Sha256,
  manifest: Type.Object({ files: Type.Array(ArtifactRef, { minItems: 1 }) }),
  /** OpenSSF Model Signing bundle over the files of the manifest. */
  signature: JsonObject,
  /** Signed statement that binds names, ordinal and serving file to the package; a loader takes no version without. */
  identity: Type.Optional(JsonObject),
  servingFile: Type.String({ description: 'Path in the manifest of the ONNX graph that is run.' }),
  /** The rollout of the model, where it has one and the request named the model. */
  rollout: Type.Optional(RolloutPlan),
});
export type ResolvedVersion = Static<typeof ResolvedVersion>;

/** The method `resolve` of the registry. */
export const resolveVersionMethod = { request: ResolveVersionRequest, reply: ResolvedVersion };

/** One input or output of a model in memory; a null size is free. */
export const ServedTensor = Type.Object({
  name: Type.String(),
  dtype: Type.String(),
  shape: Type.Array(Type.Union([Type.Integer({ minimum: 0 }), Type.Null()])),
});
export type ServedTensor = Static<typeof ServedTensor>;

export const LoadVersionRequest = Type.Object({ modelVersionId: Uuid });
/** Answered once the version is verified, loaded and warm; the tensors are those of the loaded model. */
export const LoadVersionReply = Type.Object({
  modelVersionId: Uuid,
  loadMs: Type.Number({ minimum: 0 }),
  warmUpMs: Type.Number({ minimum: 0 }),
  inputs: Type.Optional(Type.Array(ServedTensor)),
  outputs: Type.Optional(Type.Array(ServedTensor)),
});
export type LoadVersionReply = Static<typeof LoadVersionReply>;

/** The method `load` of inference. */
export const loadVersionMethod = { request: LoadVersionRequest, reply: LoadVersionReply };
