import { createHash } from 'node:crypto';
import { AppError } from '@millrace/contracts';
import type { Static, TSchema } from 'typebox';
import Value from 'typebox/value';

/** A token holds the sort key of one row, each text of it bounded; longer ones did not come from here. */
const TOKEN_LENGTH_MAX = 64 * 1024;

/** What the search was; a token made for another one is refused instead of giving odd pages. */
const fingerprint = (search: unknown): string =>
  createHash('sha256').update(JSON.stringify(search)).digest('base64url').slice(0, 16);

/** Writes where the next page begins as an opaque token that fits only this search. */
export function encodePageToken(key: unknown, search: unknown): string {
  return Buffer.from(JSON.stringify([fingerprint(search), key])).toString('base64url');
}

/** Reads a token back, undefined for none; throws `invalid_request` when it was made for another search. */
export function decodePageToken<S extends TSchema>(
  schema: S,
  token: string | undefined,
  search: unknown,
): Static<S> | undefined {
  if (token === undefined || token === '') return undefined;
  const [mark, key] = token.length > TOKEN_LENGTH_MAX ? [] : read(token);
  if (mark !== fingerprint(search) || !Value.Check(schema, key))
    throw new AppError(
      'invalid_request',
      'The page_token was not given by this very search; start again without it.',
    );
  return key as Static<S>;
}

function read(token: string): unknown[] {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(token, 'base64url').toString('utf8'));
    return Array.isArray(parsed) ? parsed : [];
  } catch {
    return [];
  }
}
