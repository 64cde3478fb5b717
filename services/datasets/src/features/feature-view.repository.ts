import type { Executor } from '@millrace/database';
import { and, asc, count, eq, gt, isNull, sql } from 'drizzle-orm';
import type { FeatureTables, FeatureViewRow } from './feature-view.table.ts';

type NewView = Omit<FeatureViewRow, 'revision' | 'createdAt' | 'updatedAt' | 'deletedAt'>;
type ViewChange = Pick<FeatureViewRow, 'description' | 'owner' | 'ttlSeconds' | 'features' | 'updatedBy'>;

export type FeatureViewRepository = ReturnType<typeof createFeatureViewRepository>;

/** Reads and writes of the definitions of views; deleted ones are not found. */
export function createFeatureViewRepository({ featureViews: views }: Pick<FeatureTables, 'featureViews'>) {
  const named = (tenant: string, name: string) =>
    and(eq(views.tenant, tenant), eq(views.name, name), isNull(views.deletedAt));
  return {
    async find(db: Executor, tenant: string, name: string): Promise<FeatureViewRow | undefined> {
      return (await db.select().from(views).where(named(tenant, name)))[0];
    },

    /** The same, held against other changes until the transaction ends. */
    async findLocked(tx: Executor, tenant: string, name: string): Promise<FeatureViewRow | undefined> {
      return (await tx.select().from(views).where(named(tenant, name)).for('update'))[0];
    },

    async findById(db: Executor, id: string): Promise<FeatureViewRow | undefined> {
      return (
        await db
          .select()
          .from(views)
          .where(and(eq(views.id, id), isNull(views.deletedAt)))
      )[0];
    },

    /** By name. */
    list: (
      db: Executor,
      tenant: string,
      options: { limit: number; afterName?: string; entity?: string | undefined },
    ): Promise<FeatureViewRow[]> =>
      db
        .select()
        .from(views)
        .where(
          and(
            eq(views.tenant, tenant),
            isNull(views.deletedAt),
            options.entity === undefined ? undefined : eq(views.entity, options.entity),
            options.afterName === undefined ? undefined : gt(views.name, options.afterName),
          ),
        )
        .orderBy(asc(views.name))
        .limit(options.limit),

    async countOf(db: Executor, tenant: string): Promise<number> {
      const [row] = await db
        .select({ views: count() })
        .from(views)
        .where(and(eq(views.tenant, tenant), isNull(views.deletedAt)));
      return row?.views ?? 0;
    },

    async insert(tx: Executor, row: NewView): Promise<FeatureViewRow> {
      const [view] = await tx
        .insert(views)
        .values({ ...row, revision: 1 })
        .returning();
      return view as FeatureViewRow;
    },

    async update(tx: Executor, id: string, change: ViewChange): Promise<FeatureViewRow> {
      const [view] = await tx
        .update(views)
        .set({ ...change, revision: sql`${views.revision} + 1`, updatedAt: sql`now()` })
        .where(eq(views.id, id))
        .returning();
      return view as FeatureViewRow;
    },

    markDeleted: (tx: Executor, id: string, by: string) =>
      tx
        .update(views)
        .set({ deletedAt: sql`now()`, updatedBy: by, revision: sql`${views.revision} + 1` })
        .where(eq(views.id, id)),
  };
}
