import { Timestamp } from '@millrace/contracts';
import type { ListPlace } from '@millrace/database';
import { decodeCursor, toPage } from '@millrace/service-kit';
import Type from 'typebox';

/** A page of what is listed newest first; `before` is the last row seen. */
export type CreatedPage = { limit: number; before?: ListPlace };

const Cursor = Type.Object({ createdAt: Timestamp, id: Type.String() });

/** Answers a list route: one row more than asked for is read, to know whether another page follows. */
export async function pageByCreation<Row extends { createdAt: Date; id: string }, Item>(
  query: { limit: number; cursor?: string },
  list: (page: CreatedPage) => Promise<Row[]>,
  toItem: (row: Row) => Item,
): Promise<{ items: Item[]; nextCursor: string | null }> {
  const { limit, cursor } = query;
  const key = decodeCursor(Cursor, cursor);
  const before = key === undefined ? {} : { before: { createdAt: new Date(key.createdAt), id: key.id } };
  const rows = await list({ limit: limit + 1, ...before });
  return toPage(rows, limit, (row) => ({ createdAt: row.createdAt.toISOString(), id: row.id }), toItem);
}
