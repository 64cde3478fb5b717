import type { AppError } from '@millrace/contracts';

/** What becomes of a request that could not be answered by the model. */
export type JobOutcome = 'answer-error' | 'retry' | 'dead';

/** Faults of the name that was asked for: waiting does not bring the model. */
const NAME_FAULTS: ReadonlySet<string> = new Set([
  'bad_id',
  'invalid_name',
  'model_not_found',
  'version_not_found',
]);
/** Whatever ended a model host may be the request itself, and three such ends take the model out of service. */
const CRASH_DELIVERIES_MAX = 2;

/** What was done with a request when it failed: reading it, finding and loading its model, or running it. */
export type JobStep = 'read' | 'find' | 'run';

/** A request that failed, in which delivery. */
export type JobFailure = { error: AppError; delivery: number; step: JobStep; isLate: boolean };

/**
 * Bad input is answered at once; what is late is given up; what may pass, and a model that cannot be loaded, is tried
 * again up to `deliveriesMax` times.
 */
export function outcomeOf(failure: JobFailure, deliveriesMax: number): JobOutcome {
  const { error, delivery, step, isLate } = failure;
  if (isLate) return 'dead';
  const isPassing = error.retryable || error.code === 'internal';
  const isOfModel = step === 'find' && !NAME_FAULTS.has(error.code);
  if (!isPassing && !isOfModel) return 'answer-error';
  const max = error.code === 'model_crashed' ? CRASH_DELIVERIES_MAX : deliveriesMax;
  return delivery < max ? 'retry' : 'dead';
}
