import { isAppError } from '@millrace/contracts';

/** The caller's faults: the request, its size, its leaving. */
const CALLERS: ReadonlySet<number> = new Set([400, 413, 499]);
/** Faults of what surrounds the model. */
const SURROUNDINGS: ReadonlySet<string> = new Set([
  'dependency_unavailable',
  'storage_unavailable',
  'shutting_down',
]);

/** Whether an error speaks against the version that gave it. */
export function isOwnFault(error: unknown): boolean {
  if (!isAppError(error)) return true;
  return !CALLERS.has(error.status) && !SURROUNDINGS.has(error.code);
}
