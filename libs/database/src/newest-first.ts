import { desc, type SQL, sql } from 'drizzle-orm';
import type { PgColumn } from 'drizzle-orm/pg-core';

/** A row's place in a list with the newest first. */
export type ListPlace = { createdAt: Date; id: string };

/** Columns that give a list its order; ids part rows of one moment. */
type Ordered = { createdAt: PgColumn; id: PgColumn };

/** Order of a list with the newest first. */
export function newestFirst({ createdAt, id }: Ordered): [SQL, SQL] {
  return [desc(createdAt), desc(id)];
}

/** The condition for rows behind `place` in a list with the newest first; none without a place. */
export function behind({ createdAt, id }: Ordered, place: ListPlace | undefined): SQL | undefined {
  if (place === undefined) return undefined;
  return sql`(${createdAt}, ${id}) < (${place.createdAt.toISOString()}::timestamptz, ${place.id})`;
}
