import type { Executor } from '@millrace/database';
import type { SQL } from 'drizzle-orm';
import { and, asc, eq, inArray, sql } from 'drizzle-orm';
import type { OrderTerm } from '../mlflow/keyset.ts';
import { afterSql, orderSql, rowKeySql } from '../mlflow/keyset.ts';
import type { ExperimentTables } from './experiment.table.ts';
import type { Pair } from './log-writer.ts';
import type { LoggedModelRow, LoggedModelTables } from './logged-model.table.ts';

type Tables = LoggedModelTables & Pick<ExperimentTables, 'experiments'>;
export type LoggedModelRepository = ReturnType<typeof createLoggedModelRepository>;
export type FoundModel = { readonly row: LoggedModelRow; readonly isInDefault: boolean };

/** Reads and writes of logged models. */
export function createLoggedModelRepository(tables: Tables) {
  const { loggedModels, loggedModelParams, loggedModelTags, loggedModelMetrics, experiments } = tables;
  const columns = { row: loggedModels, isInDefault: experiments.isDefault };
  return {
    async findAll(db: Executor, tenant: string, ids: readonly string[]): Promise<FoundModel[]> {
      return await db
        .select(columns)
        .from(loggedModels)
        .innerJoin(experiments, eq(experiments.id, loggedModels.experimentId))
        .where(
          and(
            inArray(loggedModels.id, [...ids]),
            eq(loggedModels.tenant, tenant),
            eq(loggedModels.lifecycleStage, 'active'),
          ),
        );
    },

    insert: (tx: Executor, row: LoggedModelRow) => tx.insert(loggedModels).values(row),

    update: (
      db: Executor,
      id: string,
      set: Partial<Pick<LoggedModelRow, 'status' | 'lifecycleStage' | 'updatedMs'>>,
    ) => db.update(loggedModels).set(set).where(eq(loggedModels.id, id)),

    async paramsOf(tx: Executor, id: string): Promise<Pair[]> {
      await tx
        .select({ id: loggedModels.id })
        .from(loggedModels)
        .where(eq(loggedModels.id, id))
        .for('update');
      return await tx
        .select({ key: loggedModelParams.key, value: loggedModelParams.value })
        .from(loggedModelParams)
        .where(eq(loggedModelParams.modelId, id));
    },

    addParams: (tx: Executor, modelId: string, params: readonly Pair[]) =>
      tx
        .insert(loggedModelParams)
        .values(params.map(({ key, value }) => ({ modelId, key, value })))
        .onConflictDoNothing(),

    setTags: (tx: Executor, modelId: string, tags: readonly Pair[]) =>
      tx
        .insert(loggedModelTags)
        .values(tags.map(({ key, value }) => ({ modelId, key, value })))
        .onConflictDoUpdate({
          target: [loggedModelTags.modelId, loggedModelTags.key],
          set: { value: sql`excluded.value` },
        }),

    async removeTag(db: Executor, modelId: string, key: string): Promise<boolean> {
      const rows = await db
        .delete(loggedModelTags)
        .where(and(eq(loggedModelTags.modelId, modelId), eq(loggedModelTags.key, key)))
        .returning({ key: loggedModelTags.key });
      return rows.length > 0;
    },

    /** What these models hold beside their row; of each metric the latest entry for each run and dataset. */
    async parts(db: Executor, ids: readonly string[]) {
      const [params, tags, metrics] = await Promise.all([
        db
          .select()
          .from(loggedModelParams)
          .where(inArray(loggedModelParams.modelId, [...ids]))
          .orderBy(asc(loggedModelParams.key)),
        db
          .select()
          .from(loggedModelTags)
          .where(inArray(loggedModelTags.modelId, [...ids]))
          .orderBy(asc(loggedModelTags.key)),
        db
          .selectDistinctOn([
            loggedModelMetrics.modelId,
            loggedModelMetrics.key,
            loggedModelMetrics.runId,
            loggedModelMetrics.datasetName,
            loggedModelMetrics.datasetDigest,
          ])
          .from(loggedModelMetrics)
          .where(inArray(loggedModelMetrics.modelId, [...ids]))
          .orderBy(
            asc(loggedModelMetrics.modelId),
            asc(loggedModelMetrics.key),
            asc(loggedModelMetrics.runId),
            asc(loggedModelMetrics.datasetName),
            asc(loggedModelMetrics.datasetDigest),
            sql`${loggedModelMetrics.timestampMs} desc`,
            sql`${loggedModelMetrics.step} desc`,
          ),
      ]);
      return { params, tags, metrics };
    },

    async search(
      db: Executor,
      search: {
        joins: readonly SQL[];
        where: readonly SQL[];
        terms: readonly OrderTerm[];
        after?: readonly (string | null)[] | undefined;
        limit: number;
      },
    ): Promise<{ id: string; key: (string | null)[] }[]> {
      const { joins, where, terms, after, limit } = search;
      const all = after === undefined ? where : [...where, afterSql(terms, after)];
      const { rows } = await db.execute<{ id: string; key: (string | null)[] }>(sql`
        select ${loggedModels.id}, ${rowKeySql(terms)} as key from ${loggedModels} ${sql.join([...joins], sql` `)}
        where ${sql.join([...all], sql` and `)} order by ${orderSql(terms)} limit ${limit}`);
      return rows;
    },
  };
}
