import { AppError } from '@millrace/contracts';

const SHA256 = /^[0-9a-f]{64}$/;
/** Longest key that S3 takes, in bytes; all characters allowed here are one byte. */
const KEY_LENGTH_MAX = 1_024;
const SEGMENT = /^[A-Za-z0-9_=][A-Za-z0-9._=-]*$/;

/** The key of the blob with this SHA-256; throws `bad_id` when the text is not one. */
export function blobKey(sha256: string): string {
  if (!SHA256.test(sha256)) throw new AppError('bad_id', 'A SHA-256 is 64 lower-case hex digits.');
  return `cas/${sha256.slice(0, 2)}/${sha256}`;
}

/** Returns a key or prefix made of plain segments; throws `bad_id` for one with .., empty or odd segments. */
export function checkedKey(key: string): string {
  const segments = key.replace(/\/$/, '').split('/');
  if (key.length > KEY_LENGTH_MAX || !segments.every((segment) => SEGMENT.test(segment))) {
    throw new AppError(
      'bad_id',
      'An object key must be segments of letters, digits and . _ = - separated by /.',
    );
  }
  return key;
}
