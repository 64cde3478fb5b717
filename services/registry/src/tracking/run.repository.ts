import type { Executor } from '@millrace/database';
import type { SQL } from 'drizzle-orm';
import { and, asc, eq, inArray, sql } from 'drizzle-orm';
import type { OrderTerm } from '../mlflow/keyset.ts';
import { afterSql, orderSql, rowKeyJsonSql, rowKeySql } from '../mlflow/keyset.ts';
import type { ExperimentTables } from './experiment.table.ts';
import type { Pair } from './log-writer.ts';
import type { RunRow, RunTables } from './run.table.ts';
import { readRunsJson } from './run-json.ts';

type Tables = RunTables & Pick<ExperimentTables, 'experiments'>;
type DatasetRow = RunTables['runDatasets']['$inferSelect'];
type RunModelRow = RunTables['runModels']['$inferSelect'];
export type RunRepository = ReturnType<typeof createRunRepository>;

/** A run with the id that MLflow's clients know its experiment by. */
export type FoundRun = RunRow & { readonly isInDefault: boolean };

/** Reads and writes of runs; what they log is written by the log writer. */
export function createRunRepository(tables: Tables) {
  const { runs, experiments, runMetrics, runTags, runDatasets, runModels } = tables;
  return {
    async find(db: Executor, tenant: string, id: string): Promise<FoundRun | undefined> {
      const rows = await db
        .select({ run: runs, isInDefault: experiments.isDefault })
        .from(runs)
        .innerJoin(experiments, eq(experiments.id, runs.experimentId))
        .where(and(eq(runs.id, id), eq(runs.tenant, tenant)));
      const [row] = rows;
      return row === undefined ? undefined : { ...row.run, isInDefault: row.isInDefault };
    },

    insert: (tx: Executor, row: RunRow) => tx.insert(runs).values(row),

    /** False when there is a run with this id already. */
    async insertOnce(tx: Executor, row: RunRow): Promise<boolean> {
      const rows = await tx.insert(runs).values(row).onConflictDoNothing().returning({ id: runs.id });
      return rows.length > 0;
    },

    /** Moves a run on that has not ended. */
    advance: (tx: Executor, id: string, set: Partial<Pick<RunRow, 'status' | 'startMs' | 'endMs'>>) =>
      tx
        .update(runs)
        .set(set)
        .where(and(eq(runs.id, id), inArray(runs.status, ['SCHEDULED', 'RUNNING']))),

    insertTags: (tx: Executor, { id, experimentId }: RunRow, tags: readonly Pair[]) =>
      tx.insert(runTags).values(tags.map(({ key, value }) => ({ runId: id, experimentId, key, value }))),

    update: (
      db: Executor,
      id: string,
      set: Partial<Pick<RunRow, 'name' | 'status' | 'endMs' | 'lifecycleStage'>>,
    ) => db.update(runs).set(set).where(eq(runs.id, id)),

    async removeTag(db: Executor, id: string, key: string): Promise<boolean> {
      const rows = await db
        .delete(runTags)
        .where(and(eq(runTags.runId, id), eq(runTags.key, key)))
        .returning({ key: runTags.key });
      return rows.length > 0;
    },

    /** One tag, its run locked until the transaction ends. */
    async lockTag(tx: Executor, id: string, key: string): Promise<string | undefined> {
      await tx.select({ id: runs.id }).from(runs).where(eq(runs.id, id)).for('update');
      const rows = await tx
        .select({ value: runTags.value })
        .from(runTags)
        .where(and(eq(runTags.runId, id), eq(runTags.key, key)));
      return rows[0]?.value;
    },

    setTag: (tx: Executor, { id, experimentId }: RunRow, key: string, value: string) =>
      tx
        .insert(runTags)
        .values({ runId: id, experimentId, key, value })
        .onConflictDoUpdate({ target: [runTags.runId, runTags.key], set: { value } }),

    addDatasets: (tx: Executor, rows: readonly DatasetRow[]) =>
      tx
        .insert(runDatasets)
        .values([...rows])
        .onConflictDoUpdate({
          target: [runDatasets.runId, runDatasets.name, runDatasets.digest],
          set: { context: sql`excluded.context`, tags: sql`excluded.tags` },
        }),

    addModels: (tx: Executor, rows: readonly RunModelRow[]) =>
      tx
        .insert(runModels)
        .values([...rows])
        .onConflictDoNothing(),

    /** Everything that these runs hold, in their order. */
    json: (db: Executor, ids: readonly string[], defaults: readonly number[]) =>
      readRunsJson(db, tables, ids, defaults),

    /** The entries of a metric in MLflow's order: by timestamp, step and value. */
    async history(
      db: Executor,
      search: { runId: string; key: string; after?: readonly (string | null)[] | undefined; limit: number },
    ) {
      const terms = historyOrder(tables);
      return await db
        .select({
          value: runMetrics.value,
          timestampMs: runMetrics.timestampMs,
          step: runMetrics.step,
          key: rowKeySql(terms),
        })
        .from(runMetrics)
        .where(
          and(
            eq(runMetrics.runId, search.runId),
            eq(runMetrics.key, search.key),
            search.after === undefined ? undefined : afterSql(terms, search.after),
          ),
        )
        .orderBy(asc(runMetrics.timestampMs), asc(runMetrics.step), asc(runMetrics.value))
        .limit(search.limit);
    },

    /** Entries of a metric at steps evenly spread over those of all these runs, at most about `max` for each run. */
    async historySample(
      db: Executor,
      search: { runIds: readonly string[]; key: string; from: number; to: number; max: number },
    ) {
      const { runIds, key, from, to, max } = search;
      const ranked = db.$with('ranked').as(
        db
          .select({
            runId: runMetrics.runId,
            value: runMetrics.value,
            timestampMs: runMetrics.timestampMs,
            step: runMetrics.step,
            rank: sql<number>`row_number() over (partition by ${runMetrics.runId} order by ${runMetrics.step}, ${runMetrics.timestampMs})`.as(
              'rank',
            ),
            total: sql<number>`count(*) over (partition by ${runMetrics.runId})`.as('total'),
          })
          .from(runMetrics)
          .where(
            and(
              inArray(runMetrics.runId, [...runIds]),
              eq(runMetrics.key, key),
              sql`${runMetrics.step} between ${from} and ${to}`,
            ),
          ),
      );
      return await db
        .with(ranked)
        .select({
          runId: ranked.runId,
          value: ranked.value,
          timestampMs: ranked.timestampMs,
          step: ranked.step,
        })
        .from(ranked)
        .where(
          sql`${ranked.rank} = 1 or ${ranked.rank} = ${ranked.total} or ${ranked.rank} % greatest(1, ceil(${ranked.total}::numeric / ${max}))::bigint = 0`,
        )
        .orderBy(ranked.runId, ranked.step, ranked.timestampMs);
    },

    /** How many rows a source has, at most `max`: the index alone answers. */
    async countSource(db: Executor, source: SQL, max: number): Promise<number> {
      const { rows } = await db.execute<{ count: number }>(
        sql`select count(*)::int4 as count from (${source} limit ${max}) as found`,
      );
      return rows[0]?.count ?? 0;
    },

    /** Runs that fit, in the order of the terms, with their keys (JSON, of `keyTerms`) for the page after. */
    async search(
      db: Executor,
      search: {
        from: SQL;
        where: readonly SQL[];
        terms: readonly OrderTerm[];
        keyTerms?: readonly OrderTerm[];
        after?: readonly (string | null)[] | undefined;
        limit: number;
      },
    ): Promise<{ id: string; key: string }[]> {
      const { from, where, terms, keyTerms = terms, after, limit } = search;
      const all = after === undefined ? where : [...where, afterSql(terms, after)];
      const { rows } = await db.execute<{ id: string; key: string }>(sql`
        select ${runs.id}, ${rowKeyJsonSql(keyTerms)} as key
        from ${from}
        where ${sql.join([...all], sql` and `)}
        order by ${orderSql(terms)} limit ${limit}`);
      return rows;
    },
  };
}

function historyOrder({ runMetrics }: RunTables): OrderTerm[] {
  return [
    { expression: sql`${runMetrics.timestampMs}`, isAscending: true, type: 'bigint' },
    { expression: sql`${runMetrics.step}`, isAscending: true, type: 'bigint' },
    { expression: sql`${runMetrics.value}`, isAscending: true, type: 'double precision' },
  ];
}
