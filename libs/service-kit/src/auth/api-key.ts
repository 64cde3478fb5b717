import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

const API_KEY = /^mlr_([0-9a-zA-Z]{1,64})_[A-Za-z0-9_-]{43}$/;
const SECRET_BYTES = 32;
const KEY_ID_BYTES = 8;

/** The public part of an API key (`mlr_<keyId>_<secret>`), or undefined when the text is not one. */
export function apiKeyId(key: string): string | undefined {
  return API_KEY.exec(key)?.[1];
}

/** What the platform keeps of an API key: the SHA-256 of its whole text, as hex. */
export function apiKeySha256(key: string): string {
  return createHash('sha256').update(key, 'utf8').digest('hex');
}

/** A new API key with 256 random bits; it is shown once and only its digest is kept. */
export function createApiKey(id: string = randomBytes(KEY_ID_BYTES).toString('hex')): {
  id: string;
  key: string;
  sha256: string;
} {
  const key = `mlr_${id}_${randomBytes(SECRET_BYTES).toString('base64url')}`;
  if (apiKeyId(key) !== id)
    throw new TypeError(`'${id}' cannot be the id of an API key: letters and digits only.`);
  return { id, key, sha256: apiKeySha256(key) };
}

/** Compares two hex digests in constant time. */
export function digestsEqual(left: string, right: string): boolean {
  const a = Buffer.from(left, 'hex');
  const b = Buffer.from(right, 'hex');
  return a.length === b.length && a.length > 0 && timingSafeEqual(a, b);
}
