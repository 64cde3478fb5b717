export type { TensorType } from './data-type.ts';
export { isServableType, servableTypes } from './data-type.ts';
export { onnxGraphDigest, onnxWeightsDigest } from './digests.ts';
export type { OnnxInfo, TensorSpec } from './inspect.ts';
export { inspectOnnx } from './inspect.ts';
export type { OnnxLimits } from './limits.ts';
export { defaultOnnxLimits, runtimeSupport } from './limits.ts';
export type { NormalisedModel, OnnxChange } from './normalise.ts';
export { normaliseForServing } from './normalise.ts';
