import type { ErrorCode } from '@millrace/contracts';
import { AppError, isAppError } from '@millrace/contracts';

/** The fields of an AWS SDK error that say what happened. */
type S3Error = { name?: unknown; code?: unknown; message?: unknown; $metadata?: { httpStatusCode?: number } };

const MISSING = new Set(['NoSuchKey', 'NotFound']);
const WRONG_DIGEST = new Set([
  'BadDigest',
  'InvalidDigest',
  'XAmzContentSHA256Mismatch',
  'XAmzContentChecksumMismatch',
]);
const REFUSED = new Set(['AccessDenied', 'InvalidAccessKeyId', 'SignatureDoesNotMatch', 'Forbidden']);

/** Whether S3 said that an object is not there. */
export function isMissing(error: unknown): boolean {
  const { name, $metadata } = shape(error);
  return MISSING.has(String(name)) || ($metadata?.httpStatusCode === 404 && name !== 'NoSuchBucket');
}

/** Whether a conditional write was refused because the object exists or is being written. */
export function isAlreadyThere(error: unknown): boolean {
  const { name, $metadata } = shape(error);
  return (
    name === 'PreconditionFailed' ||
    name === 'ConditionalRequestConflict' ||
    $metadata?.httpStatusCode === 412
  );
}

/** The AppError for a failed S3 request: `what` says what was tried, for instance `reading jobs/1/a`. */
export function toStorageError(error: unknown, what: string): AppError {
  if (isAppError(error)) return error;
  const [code, message] = describe(error, what);
  return new AppError(code, message, { cause: error });
}

function describe(error: unknown, what: string): [ErrorCode, string] {
  const name = String(shape(error).name);
  if (isMissing(error)) return ['artifact_missing', `The object store has nothing there (${what}).`];
  if (WRONG_DIGEST.has(name))
    return ['checksum_mismatch', `The bytes changed on their way to the object store (${what}).`];
  if (REFUSED.has(name) || shape(error).$metadata?.httpStatusCode === 403) {
    return [
      'storage_unavailable',
      `The object store refused the credentials (${what}); check MILLRACE_S3_ACCESS_KEY_ID.`,
    ];
  }
  if (name === 'NoSuchBucket') {
    return ['storage_unavailable', `The bucket does not exist (${what}); check MILLRACE_S3_BUCKET.`];
  }
  return ['storage_unavailable', `The object store does not answer (${what}); try again.`];
}

function shape(error: unknown): S3Error {
  return typeof error === 'object' && error !== null ? error : {};
}
