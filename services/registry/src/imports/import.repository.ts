import type { WireError } from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import { and, asc, eq, lt, sql } from 'drizzle-orm';
import type { ImportRow, ImportTable } from './import.table.ts';

export type ImportRepository = ReturnType<typeof createImportRepository>;

/** Reads and writes of imports. */
export function createImportRepository(imports: ImportTable) {
  const one = async (rows: Promise<ImportRow[]>): Promise<ImportRow | undefined> => (await rows)[0];
  const isOpen = (id: string) => and(eq(imports.id, id), eq(imports.state, 'converting'));

  return {
    find: (db: Executor, id: string) => one(db.select().from(imports).where(eq(imports.id, id))),

    /** One that is being converted. */
    findOpen: (db: Executor, id: string) => one(db.select().from(imports).where(isOpen(id))),

    /** The same, its row locked until the transaction ends. */
    lockOpen: (tx: Executor, id: string) => one(tx.select().from(imports).where(isOpen(id)).for('update')),

    /** One in any state, locked. */
    lock: (tx: Executor, id: string) =>
      one(tx.select().from(imports).where(eq(imports.id, id)).for('update')),

    findOpenByLabel: (tx: Executor, modelId: string, label: string) =>
      one(
        tx
          .select()
          .from(imports)
          .where(
            and(eq(imports.modelId, modelId), eq(imports.label, label), eq(imports.state, 'converting')),
          ),
      ),

    insert: (tx: Executor, row: typeof imports.$inferInsert) =>
      tx
        .insert(imports)
        .values(row)
        .returning()
        .then((rows) => rows[0] as ImportRow),

    setJob: (tx: Executor, id: string, conversionJobId: string) =>
      tx.update(imports).set({ conversionJobId }).where(eq(imports.id, id)),

    /** A worker took the conversion up; its facts may come in any order, also after the end. */
    setStarted: (tx: Executor, id: string, attempt: number) =>
      tx
        .update(imports)
        .set({
          attempts: sql`greatest(${imports.attempts}, ${attempt})`,
          startedAt: sql`coalesce(${imports.startedAt}, now())`,
        })
        .where(eq(imports.id, id)),

    setRegistered: (tx: Executor, id: string, modelVersionId: string) =>
      tx
        .update(imports)
        .set({ state: 'registered', modelVersionId, finishedAt: sql`now()` })
        .where(isOpen(id)),

    /** Ends an open import without a version. */
    setEnded: (tx: Executor, id: string, state: 'failed' | 'cancelled', error: WireError) =>
      tx.update(imports).set({ state, error, finishedAt: sql`now()` }).where(isOpen(id)),

    /** Open imports whose time is over, locked; those that another replica has in hand are left out. */
    lockDue: (tx: Executor, limit: number) =>
      tx
        .select()
        .from(imports)
        .where(and(eq(imports.state, 'converting'), lt(imports.deadlineAt, sql`now()`)))
        .orderBy(asc(imports.deadlineAt))
        .limit(limit)
        .for('update', { skipLocked: true }),
  };
}
