import { isNativeError } from 'node:util/types';
import { AppError, isAppError } from '@millrace/contracts';

/** Postgres classes 08 (connection) and 57P0x (shutdown), 53300 (too many connections), and socket errors. */
const UNAVAILABLE = /^(08...|57P0[123]|53300|ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND)$/;
const UNAVAILABLE_TEXT =
  /Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error/;
/** The statement was sent, and nobody knows what became of it. */
const UNANSWERED_TEXT = /Query read timeout/;

function rootOf(error: unknown): unknown {
  // drizzle wraps driver errors in its own with the original as cause
  let current = error;
  for (let depth = 0; depth < 5 && isNativeError(current) && isNativeError(current.cause); depth += 1) {
    current = current.cause;
  }
  return current;
}

/** The SQLSTATE (or socket code) of an error of the driver, through any wrapping; undefined if it has none. */
export function sqlState(error: unknown): string | undefined {
  const root = rootOf(error);
  return isNativeError(root) && 'code' in root && typeof root.code === 'string' ? root.code : undefined;
}

/** Turns "Postgres is away" into the retryable `database_unavailable`; leaves everything else as it is. */
export function toDatabaseError(error: unknown): unknown {
  if (isAppError(error)) return error;
  const code = sqlState(error);
  const root = rootOf(error);
  const text = isNativeError(root) ? root.message : '';
  if (UNANSWERED_TEXT.test(text)) {
    return new AppError(
      'database_unavailable',
      'Postgres did not answer in time; look whether the change was made before you try again.',
      { cause: error },
    );
  }
  if ((code !== undefined && UNAVAILABLE.test(code)) || UNAVAILABLE_TEXT.test(text)) {
    return new AppError(
      'database_unavailable',
      'Postgres does not answer; the request changed nothing, try again.',
      { cause: error },
    );
  }
  return error;
}
