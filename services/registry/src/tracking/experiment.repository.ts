import type { Executor } from '@millrace/database';
import type { SQL } from 'drizzle-orm';
import { and, asc, eq, inArray, sql } from 'drizzle-orm';
import type { OrderTerm } from '../mlflow/keyset.ts';
import { afterSql, orderSql, rowKeySql } from '../mlflow/keyset.ts';
import type { ExperimentRow, ExperimentTables, LifecycleStage } from './experiment.table.ts';
import type { RunTables } from './run.table.ts';

export const DEFAULT_EXPERIMENT_NAME = 'Default';

type Tables = ExperimentTables & Pick<RunTables, 'runs'>;
export type ExperimentRepository = ReturnType<typeof createExperimentRepository>;

/** Reads and writes of experiments and their tags. */
export function createExperimentRepository({ experiments, experimentTags, runs }: Tables) {
  return {
    /** The experiment with MLflow's id, `0` for the default one. */
    async find(db: Executor, tenant: string, id: string): Promise<ExperimentRow | undefined> {
      if (!/^\d{1,15}$/.test(id)) return undefined;
      const isWanted = id === '0' ? experiments.isDefault : eq(experiments.id, Number(id));
      const rows = await db
        .select()
        .from(experiments)
        .where(and(eq(experiments.tenant, tenant), isWanted));
      // the default one answers to 0 alone
      return rows.find((row) => (id === '0') === row.isDefault);
    },

    async findByName(db: Executor, tenant: string, name: string): Promise<ExperimentRow | undefined> {
      const rows = await db
        .select()
        .from(experiments)
        .where(and(eq(experiments.tenant, tenant), eq(experiments.name, name)));
      return rows[0];
    },

    /** Undefined when the tenant has one of this name already. */
    async insert(
      db: Executor,
      values: Pick<ExperimentRow, 'tenant' | 'name' | 'artifactLocation' | 'createdMs'> & {
        isDefault?: boolean;
      },
    ): Promise<ExperimentRow | undefined> {
      const rows = await db
        .insert(experiments)
        .values({ ...values, updatedMs: values.createdMs })
        .onConflictDoNothing()
        .returning();
      return rows[0];
    },

    update: (
      db: Executor,
      id: number,
      set: Partial<Pick<ExperimentRow, 'name' | 'lifecycleStage' | 'updatedMs'>>,
    ) => db.update(experiments).set(set).where(eq(experiments.id, id)),

    /** Deletes or restores all runs with their experiment, as MLflow does. */
    setStageOfRuns: (tx: Executor, id: number, lifecycleStage: LifecycleStage) =>
      tx.update(runs).set({ lifecycleStage }).where(eq(runs.experimentId, id)),

    tags: (db: Executor, ids: readonly number[]) =>
      db
        .select()
        .from(experimentTags)
        .where(inArray(experimentTags.experimentId, [...ids]))
        .orderBy(asc(experimentTags.key)),

    setTags: (db: Executor, experimentId: number, tags: readonly { key: string; value: string }[]) =>
      db
        .insert(experimentTags)
        .values(tags.map((tag) => ({ ...tag, experimentId })))
        .onConflictDoUpdate({
          target: [experimentTags.experimentId, experimentTags.key],
          set: { value: sql`excluded.value` },
        }),

    async removeTag(db: Executor, experimentId: number, key: string): Promise<boolean> {
      const rows = await db
        .delete(experimentTags)
        .where(and(eq(experimentTags.experimentId, experimentId), eq(experimentTags.key, key)))
        .returning({ key: experimentTags.key });
      return rows.length > 0;
    },

    /** Experiments that fit, in the order of the terms, with their keys for the page after. */
    async search(
      db: Executor,
      search: {
        where: readonly SQL[];
        terms: readonly OrderTerm[];
        after?: readonly (string | null)[] | undefined;
        limit: number;
      },
    ): Promise<{ row: ExperimentRow; key: (string | null)[] }[]> {
      const { where, terms, after, limit } = search;
      return await db
        .select({ row: experiments, key: rowKeySql(terms) })
        .from(experiments)
        .where(and(...where, after === undefined ? undefined : afterSql(terms, after)))
        .orderBy(orderSql(terms))
        .limit(limit);
    },
  };
}
