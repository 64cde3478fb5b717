import type { ErrorCode } from './errors.ts';
import { errorCatalog, isErrorCode } from './errors.ts';

const BRAND = Symbol.for('millrace.AppError');

/** An operating error with a stable code; `status` and `retryable` come from the catalogue. */
export class AppError extends Error {
  override readonly name = 'AppError';
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>> | undefined;
  readonly [BRAND] = true;

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; details?: Readonly<Record<string, unknown>> } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details;
  }

  get status(): number {
    return errorCatalog[this.code].status;
  }

  get retryable(): boolean {
    return errorCatalog[this.code].retryable;
  }
}

/** True for an AppError of any copy of this library (checked by symbol, not by class). */
export function isAppError(error: unknown): error is AppError {
  return typeof error === 'object' && error !== null && BRAND in error;
}

/** Rebuilds an AppError from its wire form `{code, message}`; an unknown code becomes `internal`. */
export function appErrorFrom(wire: { code?: unknown; message?: unknown }): AppError {
  const message = typeof wire.message === 'string' ? wire.message : 'The other side gave no message.';
  return new AppError(isErrorCode(wire.code) ? wire.code : 'internal', message);
}
