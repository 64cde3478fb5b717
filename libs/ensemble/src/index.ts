export { ENSEMBLE_BYTES_MAX } from './bounds.ts';
export { atStep } from './fault.ts';
export type { EnsemblePlan, PlannedStep } from './plan.ts';
export { planEnsemble } from './plan.ts';
export { ENSEMBLE_PATH, EnsembleMember, EnsembleSpec, MODEL_KIND, PinnedEnsemble } from './spec.ts';
export type { ElementType, NamedSpec, Signature, Value } from './value.ts';
