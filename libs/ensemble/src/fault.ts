import { AppError, isAppError } from '@millrace/contracts';

/** An error in what an ensemble says of itself. */
export function invalid(message: string): AppError {
  return new AppError('invalid_ensemble', message);
}

/** The same error with the step named where it happened; what is no AppError stays as it is. */
export function atStep(id: string, error: unknown): unknown {
  if (!isAppError(error) || error.details?.step !== undefined) return error;
  return new AppError(error.code, `Step "${id}": ${error.message}`, {
    cause: error,
    details: { ...error.details, step: id },
  });
}
