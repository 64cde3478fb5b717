import { AppError } from '@millrace/contracts';
import type { Static, TSchema } from 'typebox';
import Type from 'typebox';
import Value from 'typebox/value';

/** Items a page has when the request names no `limit`. */
export const PAGE_LIMIT_DEFAULT = 50;
/** Most items a page may have. */
export const PAGE_LIMIT_MAX = 500;

const CURSOR_LENGTH_MAX = 1024;

/** Query properties of a paged route: spread them into its querystring schema. */
export const pageQuery = {
  limit: Type.Integer({ minimum: 1, maximum: PAGE_LIMIT_MAX, default: PAGE_LIMIT_DEFAULT }),
  cursor: Type.Optional(
    Type.String({
      maxLength: CURSOR_LENGTH_MAX,
      description: 'nextCursor of the page before; leave out for the first.',
    }),
  ),
};

/** The shape of a page: `nextCursor` is null on the last one. */
export function pageOf<T extends TSchema>(item: T) {
  return Type.Object({ items: Type.Array(item), nextCursor: Type.Union([Type.String(), Type.Null()]) });
}

/** Writes the sort key of the last row as an opaque cursor. */
export function encodeCursor(key: unknown): string {
  return Buffer.from(JSON.stringify(key)).toString('base64url');
}

/** Reads a cursor back; throws `invalid_request` when it was not made by `encodeCursor` for this key. */
export function decodeCursor<S extends TSchema>(
  schema: S,
  cursor: string | undefined,
): Static<S> | undefined {
  if (cursor === undefined) return undefined;
  let key: unknown;
  try {
    key = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    key = undefined;
  }
  if (!Value.Check(schema, key)) {
    throw new AppError(
      'invalid_request',
      'The cursor is not one that this route gave; start again without it.',
    );
  }
  return key as Static<S>;
}

/** Makes a page of `limit` items from up to `limit + 1` rows: ask the database for one more than the page holds. */
export function toPage<Row, Item>(
  rows: readonly Row[],
  limit: number,
  keyOf: (row: Row) => unknown,
  toItem: (row: Row) => Item,
): { items: Item[]; nextCursor: string | null } {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const nextCursor = rows.length > limit && last !== undefined ? encodeCursor(keyOf(last)) : null;
  return { items: shown.map(toItem), nextCursor };
}
