import type { WireError } from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import { and, eq, sql } from 'drizzle-orm';
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
      tx.update(imports).set({ conversionJobId }).where(isOpen(id)),

    setRegistered: (tx: Executor, id: string, modelVersionId: string) =>
      tx
        .update(imports)
        .set({ state: 'registered', modelVersionId, finishedAt: sql`now()` })
        .where(isOpen(id)),

    setFailed: (tx: Executor, id: string, error: WireError) =>
      tx.update(imports).set({ state: 'failed', error, finishedAt: sql`now()` }).where(isOpen(id)),
  };
}
