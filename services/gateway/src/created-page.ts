import { Timestamp } from '@millrace/contracts';
import { decodeCursor, toPage } from '@millrace/service-kit';
import type { SQL } from 'drizzle-orm';
import { sql } from 'drizzle-orm';
import type { PgColumn } from 'drizzle-orm/pg-core';
import Type from 'typebox';

/** A page of what is listed newest first; `before` is the last row seen. */
export type CreatedPage = { limit: number; before?: { createdAt: Date; id: string } };

const Cursor = Type.Object({ createdAt: Timestamp, id: Type.String() });

/** The rows before a page's cursor in the order of creation, newest first; undefined for the first page. */
export function isBefore(page: CreatedPage, columns: { createdAt: PgColumn; id: PgColumn }): SQL | undefined {
  if (page.before === undefined) return undefined;
  const { createdAt, id } = page.before;
  return sql`(${columns.createdAt}, ${columns.id}) < (${createdAt.toISOString()}::timestamptz, ${id})`;
}

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
