import { newId } from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import { and, asc, eq, gt, isNull, or, sql } from 'drizzle-orm';
import type { ModelRow, ModelTables, Tags } from './model.table.ts';
import type { TagFilter } from './tags.ts';
import { hasTag } from './tags.ts';

/** Which models a list shows: those whose name holds a text, those that have a tag. */
export type ModelFilter = { readonly search?: string | undefined; readonly tag?: TagFilter | undefined };

export type ModelRepository = ReturnType<typeof createModelRepository>;

/** Reads and writes of model names and aliases. */
export function createModelRepository({ models, aliases }: ModelTables) {
  const find = async (db: Executor, tenant: string, name: string): Promise<ModelRow | undefined> => {
    const rows = await db
      .select()
      .from(models)
      .where(and(eq(models.tenant, tenant), eq(models.name, name), isNull(models.deletedAt)));
    return rows[0];
  };

  return {
    find,

    async findById(db: Executor, id: string): Promise<ModelRow | undefined> {
      const rows = await db
        .select()
        .from(models)
        .where(and(eq(models.id, id), isNull(models.deletedAt)));
      return rows[0];
    },

    /** The model of this name, made if need be, with its row locked until the transaction ends. */
    async lockOrCreate(tx: Executor, tenant: string, name: string): Promise<ModelRow> {
      await tx.insert(models).values({ id: newId(), tenant, name }).onConflictDoNothing();
      const rows = await tx
        .select()
        .from(models)
        .where(and(eq(models.tenant, tenant), eq(models.name, name), isNull(models.deletedAt)))
        .for('update');
      const [row] = rows;
      if (row === undefined) throw new Error('A model row vanished while it was made.');
      return row;
    },

    /** A model of the tenant, deleted or not. */
    async findAny(db: Executor, tenant: string, id: string): Promise<ModelRow | undefined> {
      const rows = await db
        .select()
        .from(models)
        .where(and(eq(models.id, id), eq(models.tenant, tenant)));
      return rows[0];
    },

    /** The model that had the name at a time; one deleted by then is none. */
    async findAt(db: Executor, tenant: string, name: string, at: Date): Promise<ModelRow | undefined> {
      const rows = await db
        .select()
        .from(models)
        .where(
          and(
            eq(models.tenant, tenant),
            eq(models.name, name),
            or(isNull(models.deletedAt), gt(models.deletedAt, at)),
          ),
        )
        .orderBy(sql`${models.deletedAt} asc nulls last`)
        .limit(1);
      return rows[0];
    },

    /** Models of a tenant, deleted ones too, in the order of their ids. */
    listAll: (db: Executor, tenant: string, page: { limit: number; after: string | undefined }) =>
      db
        .select()
        .from(models)
        .where(
          and(eq(models.tenant, tenant), page.after === undefined ? undefined : gt(models.id, page.after)),
        )
        .orderBy(asc(models.id))
        .limit(page.limit),

    async insert(tx: Executor, row: typeof models.$inferInsert): Promise<ModelRow | undefined> {
      const rows = await tx.insert(models).values(row).onConflictDoNothing().returning();
      return rows[0];
    },

    async update(
      tx: Executor,
      id: string,
      change: { name?: string; description?: string; tags?: Tags; deletedAt?: Date },
    ): Promise<ModelRow | undefined> {
      const rows = await tx
        .update(models)
        .set({ ...change, updatedAt: sql`now()` })
        .where(eq(models.id, id))
        .returning();
      return rows[0];
    },

    lock: (tx: Executor, id: string) =>
      tx.select({ id: models.id }).from(models).where(eq(models.id, id)).for('update'),

    raiseOrdinal: (tx: Executor, id: string, ordinal: number) =>
      tx
        .update(models)
        .set({ lastOrdinal: sql`greatest(${models.lastOrdinal}, ${ordinal})` })
        .where(eq(models.id, id)),

    list: (db: Executor, tenant: string, options: { limit: number; afterName?: string } & ModelFilter) =>
      db
        .select()
        .from(models)
        .where(
          and(
            eq(models.tenant, tenant),
            isNull(models.deletedAt),
            options.afterName === undefined ? undefined : gt(models.name, options.afterName),
            options.search === undefined
              ? undefined
              : sql`position(lower(${options.search}) in lower(${models.name})) > 0`,
            hasTag(models.tags, options.tag),
          ),
        )
        .orderBy(asc(models.name))
        .limit(options.limit),

    async aliasesOf(db: Executor, modelVersionId: string): Promise<string[]> {
      const rows = await db
        .select({ alias: aliases.alias })
        .from(aliases)
        .where(eq(aliases.modelVersionId, modelVersionId))
        .orderBy(asc(aliases.alias));
      return rows.map(({ alias }) => alias);
    },

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

    async removeAliasesOf(tx: Executor, modelVersionId: string): Promise<string[]> {
      const rows = await tx
        .delete(aliases)
        .where(eq(aliases.modelVersionId, modelVersionId))
        .returning({ alias: aliases.alias });
      return rows.map(({ alias }) => alias);
    },
  };
}
