import type { AppError } from '@millrace/contracts';
import { isAppError } from '@millrace/contracts';

/** The AppError that a call throws; anything else it does is a failure of the test. */
export function thrown(call: () => unknown): AppError {
  try {
    call();
  } catch (error) {
    if (isAppError(error)) return error;
    throw error;
  }
  throw new Error('It did not throw.');
}
