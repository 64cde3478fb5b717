import type { ErrorCode } from '@millrace/contracts';
import { type AppError, isAppError } from '@millrace/contracts';

/** Codes that say: these bytes, or who vouches for them, are not what was signed. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'artifact_corrupt',
  'artifact_missing',
  'certificate_invalid',
  'certificate_untrusted',
  'digest_mismatch',
  'identity_missing',
  'invalid_artifact_path',
  'manifest_mismatch',
  'signature_invalid',
  'signature_key_unknown',
  'signature_malformed',
]);

/** Whether a code, as a worker or another service reports it, refuses bytes or who vouches for them. */
export function isVerificationCode(code: string): boolean {
  return (REFUSALS as ReadonlySet<string>).has(code);
}

/** Whether an error refuses a package for its bytes or signature, and not for what surrounds it. */
export function isVerificationRefusal(error: unknown): error is AppError {
  return isAppError(error) && isVerificationCode(error.code);
}
