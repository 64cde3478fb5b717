import { newId } from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import { and, asc, eq, gt, sql } from 'drizzle-orm';
import type { ModelRow, ModelTables } from './model.table.ts';

export type ModelRepository = ReturnType<typeof createModelRepository>;

/** Reads and writes of model names and aliases. */
export function createModelRepository({ models, aliases }: ModelTables) {
  const find = async (db: Executor, tenant: string, name: string): Promise<ModelRow | undefined> => {
    const rows = await db
      .select()
      .from(models)
      .where(and(eq(models.tenant, tenant), eq(models.name, name)));
    return rows[0];
  };

  return {
    find,

    async findById(db: Executor, id: string): Promise<ModelRow | undefined> {
      const rows = await db.select().from(models).where(eq(models.id, id));
      return rows[0];
    },

    /** The model of this name, made if need be, with its row locked until the transaction ends. */
    async lockOrCreate(tx: Executor, tenant: string, name: string): Promise<ModelRow> {
      await tx.insert(models).values({ id: newId(), tenant, name }).onConflictDoNothing();
      const rows = await tx
        .select()
        .from(models)
        .where(and(eq(models.tenant, tenant), eq(models.name, name)))
        .for('update');
      const [row] = rows;
      if (row === undefined) throw new Error('A model row vanished while it was made.');
      return row;
    },

    lock: (tx: Executor, id: string) =>
      tx.select({ id: models.id }).from(models).where(eq(models.id, id)).for('update'),

    raiseOrdinal: (tx: Executor, id: string, ordinal: number) =>
      tx
        .update(models)
        .set({ lastOrdinal: sql`greatest(${models.lastOrdinal}, ${ordinal})` })
        .where(eq(models.id, id)),

    list: (db: Executor, tenant: string, options: { limit: number; afterName?: string }) =>
      db
        .select()
        .from(models)
        .where(
          and(
            eq(models.tenant, tenant),
            options.afterName === undefined ? undefined : gt(models.name, options.afterName),
          ),
        )
        .orderBy(asc(models.name))
        .limit(options.limit),

    aliases: (db: Executor, modelId: string) =>
      db.select().from(aliases).where(eq(aliases.modelId, modelId)).orderBy(asc(aliases.alias)),

    async findAlias(db: Executor, modelId: string, alias: string): Promise<string | undefined> {
      const rows = await db
        .select({ id: aliases.modelVersionId })
        .from(aliases)
        .where(and(eq(aliases.modelId, modelId), eq(aliases.alias, alias)));
      return rows[0]?.id;
    },

    setAlias: (tx: Executor, modelId: string, alias: string, modelVersionId: string) =>
      tx
        .insert(aliases)
        .values({ modelId, alias, modelVersionId })
        .onConflictDoUpdate({
          target: [aliases.modelId, aliases.alias],
          set: { modelVersionId, setAt: sql`now()` },
        }),

    async removeAlias(tx: Executor, modelId: string, alias: string): Promise<string | undefined> {
      const rows = await tx
        .delete(aliases)
        .where(and(eq(aliases.modelId, modelId), eq(aliases.alias, alias)))
        .returning({ id: aliases.modelVersionId });
      return rows[0]?.id;
    },

    removeAliasesOf: (tx: Executor, modelVersionId: string) =>
      tx.delete(aliases).where(eq(aliases.modelVersionId, modelVersionId)),
  };
}
