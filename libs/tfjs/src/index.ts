export type { TfjsLimits } from './limits.ts';
export { defaultTfjsLimits } from './limits.ts';
export type { TfjsModel } from './read-model.ts';
export { MODEL_JSON, readTfjsModel } from './read-model.ts';
export { asynchronousOperators, graphOperators, layerClasses } from './supported.ts';
export type { TfjsTensor } from './tensor-spec.ts';
export type { WeightGroup } from './weights.ts';
export { assertShards } from './weights.ts';
