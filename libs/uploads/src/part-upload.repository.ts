import type { WireError } from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import { and, asc, count, desc, eq, inArray, lt, or, type SQL, sql } from 'drizzle-orm';
import type { PgTable } from 'drizzle-orm/pg-core';
import type { PartUploadRow, PartUploadState, PartUploadTable } from './part-upload.columns.ts';

export type PartUploadRepository<Row extends PartUploadRow> = ReturnType<
  typeof createPartUploadRepository<Row>
>;

/** Reads and writes of uploads in parts, in an owner's table of `partUploadColumns` and columns of its own. */
export function createPartUploadRepository<Row extends PartUploadRow>(table: PgTable) {
  // the owner's columns are only ever handed through
  const uploads = table as unknown as PartUploadTable;
  const many = async (rows: Promise<PartUploadRow[]>): Promise<Row[]> => (await rows) as Row[];
  const one = async (rows: Promise<PartUploadRow[]>): Promise<Row | undefined> => (await many(rows))[0];
  const isIn = (id: string, ...states: PartUploadState[]) =>
    and(eq(uploads.id, id), inArray(uploads.state, states));
  const end = (state: PartUploadState) => ({ state, claimedUntil: null, finishedAt: sql`now()` });

  return {
    /** Undefined where a unique index of the owner has such a row already. */
    insert: (db: Executor, row: Partial<Row> & PartUploadTable['$inferInsert']) =>
      one(db.insert(uploads).values(row).onConflictDoNothing().returning()),

    find: (db: Executor, tenant: string, id: string) =>
      one(
        db
          .select()
          .from(uploads)
          .where(and(eq(uploads.id, id), eq(uploads.tenant, tenant))),
      ),

    /** Newest first; `where` narrows it. */
    list: (
      db: Executor,
      tenant: string,
      options: { limit: number; beforeId?: string; where?: SQL | undefined },
    ) =>
      many(
        db
          .select()
          .from(uploads)
          .where(
            and(
              eq(uploads.tenant, tenant),
              options.where,
              options.beforeId === undefined ? undefined : lt(uploads.id, options.beforeId),
            ),
          )
          .orderBy(desc(uploads.id))
          .limit(options.limit),
      ),

    async countOpen(db: Executor, tenant: string): Promise<number> {
      const rows = await db
        .select({ n: count() })
        .from(uploads)
        .where(and(eq(uploads.tenant, tenant), inArray(uploads.state, ['open', 'completing'])));
      return rows[0]?.n ?? 0;
    },

    /** Those of these uploads that can still be completed. */
    async activeOf(db: Executor, ids: readonly string[]): Promise<ReadonlySet<string>> {
      if (ids.length === 0) return new Set();
      const rows = await db
        .select({ id: uploads.id })
        .from(uploads)
        .where(and(inArray(uploads.id, [...ids]), inArray(uploads.state, ['open', 'completing'])));
      return new Set(rows.map(({ id }) => id));
    },

    /** An upload that somebody goes on with lives anew; undefined when it is not open. */
    extend: (db: Executor, id: string, expiresAt: Date) =>
      one(db.update(uploads).set({ expiresAt }).where(isIn(id, 'open')).returning()),

    /** Takes an upload to complete it, unless somebody else is at work; undefined when it is not to be had. */
    claim: (db: Executor, id: string, claimMs: number) =>
      one(
        db
          .update(uploads)
          .set({ state: 'completing', claimedUntil: until(claimMs) })
          .where(or(isIn(id, 'open'), and(isIn(id, 'completing'), lt(uploads.claimedUntil, sql`now()`))))
          .returning(),
      ),

    renew: (db: Executor, id: string, claimMs: number) =>
      db
        .update(uploads)
        .set({ claimedUntil: until(claimMs) })
        .where(isIn(id, 'completing')),

    reopen: (db: Executor, id: string) =>
      db.update(uploads).set({ state: 'open', claimedUntil: null }).where(isIn(id, 'completing')),

    /** `outcome` holds the owner's columns. */
    setCompleted: (db: Executor, id: string, outcome: Partial<Row>) =>
      db
        .update(uploads)
        .set({ ...outcome, ...end('completed') })
        .where(isIn(id, 'completing')),

    setFailed: (db: Executor, id: string, error: WireError) =>
      db
        .update(uploads)
        .set({ error, ...end('failed') })
        .where(isIn(id, 'completing')),

    /** Gives an open upload up; undefined when it is not open. */
    abort: (db: Executor, id: string) =>
      one(db.update(uploads).set(end('aborted')).where(isIn(id, 'open')).returning()),

    /** Uploads whose time is over and that nobody completes. */
    due: (db: Executor, limit: number) =>
      many(
        db
          .select()
          .from(uploads)
          .where(
            and(
              lt(uploads.expiresAt, sql`now()`),
              or(
                eq(uploads.state, 'open'),
                and(eq(uploads.state, 'completing'), lt(uploads.claimedUntil, sql`now()`)),
              ),
            ),
          )
          .orderBy(asc(uploads.expiresAt))
          .limit(limit),
      ),

    setExpired: (db: Executor, id: string) =>
      db
        .update(uploads)
        .set(end('expired'))
        .where(isIn(id, 'open', 'completing')),
  };
}

function until(claimMs: number) {
  return sql`now() + ${claimMs} * interval '1 millisecond'`;
}
