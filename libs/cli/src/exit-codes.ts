import type { AppError } from '@millrace/contracts';

/** Exit codes of `millrace`, those of sysexits.h where one fits. */
export const exitCodes = {
  ok: 0,
  /** The platform answered, and the answer is no: a job failed, a check found a fault, there is no such thing. */
  failed: 1,
  /** `verify-rebuild`: nearly the same, but not proved to be the same. */
  close: 2,
  usage: 64,
  /** The platform or a part of it does not answer. */
  unavailable: 69,
  /** The key is missing, wrong or lacks a scope. */
  noPermission: 77,
  interrupted: 130,
} as const;

const NO_PERMISSION = new Set(['auth_required', 'scope_missing', 'host_not_allowed']);

/** The exit code for an error of the platform. */
export function exitCodeOf(error: AppError): number {
  if (NO_PERMISSION.has(error.code)) return exitCodes.noPermission;
  return error.status === 503 || error.status === 504 ? exitCodes.unavailable : exitCodes.failed;
}
