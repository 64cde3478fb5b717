import { sql } from 'drizzle-orm';
import type { PgSchema } from 'drizzle-orm/pg-core';
import { bigint, doublePrecision, index, integer, jsonb, primaryKey, text, uuid } from 'drizzle-orm/pg-core';
import type { ExperimentTables, LifecycleStage } from './experiment.table.ts';

export const runStatuses = ['RUNNING', 'SCHEDULED', 'FINISHED', 'FAILED', 'KILLED'] as const;
export type RunStatus = (typeof runStatuses)[number];

/** An index on texts holds this much of them; a B-tree refuses rows over 2,704 bytes. */
export const INDEXED_CHARACTERS = 128;

/**
 * Runs and what they log. Tables of what is logged have no foreign key: runs are never removed, and checking one for
 * each row of a batch costs more than writing it. Their `experiment_id` lets an index answer a search by itself.
 */
export function createRunTables<Name extends string>(
  schema: PgSchema<Name>,
  experiments: ExperimentTables['experiments'],
) {
  const ms = (name: string) => bigint(name, { mode: 'number' });
  const runs = schema.table(
    'runs',
    {
      id: uuid().primaryKey(),
      tenant: text().notNull(),
      experimentId: ms('experiment_id')
        .notNull()
        .references(() => experiments.id),
      name: text().notNull(),
      userId: text('user_id').notNull(),
      status: text().$type<RunStatus>().notNull(),
      startMs: ms('start_ms').notNull(),
      endMs: ms('end_ms'),
      lifecycleStage: text('lifecycle_stage').$type<LifecycleStage>().notNull().default('active'),
      artifactUri: text('artifact_uri').notNull(),
    },
    (table) => [index('runs_by_start').on(table.experimentId, table.startMs.desc(), table.id)],
  );
  /** Every step of every metric; MLflow's order of a history is the key's. */
  const runMetrics = schema.table(
    'run_metrics',
    {
      runId: uuid('run_id').notNull(),
      key: text().notNull(),
      timestampMs: ms('timestamp_ms').notNull(),
      step: ms('step').notNull(),
      value: doublePrecision().notNull(),
    },
    (table) => [
      primaryKey({ columns: [table.runId, table.key, table.timestampMs, table.step, table.value] }),
    ],
  );
  /** The entry of each metric with the highest step, then timestamp, then value. */
  const runLatestMetrics = schema.table(
    'run_latest_metrics',
    {
      runId: uuid('run_id').notNull(),
      key: text().notNull(),
      experimentId: ms('experiment_id').notNull(),
      step: ms('step').notNull(),
      timestampMs: ms('timestamp_ms').notNull(),
      value: doublePrecision().notNull(),
    },
    (table) => [
      primaryKey({ columns: [table.runId, table.key] }),
      index('run_latest_metrics_by_value').on(table.experimentId, table.key, table.value, table.runId),
    ],
  );
  const pairs = <Table extends string>(name: Table) =>
    schema.table(
      name,
      {
        runId: uuid('run_id').notNull(),
        key: text().notNull(),
        experimentId: ms('experiment_id').notNull(),
        value: text().notNull(),
      },
      (table) => [
        primaryKey({ columns: [table.runId, table.key] }),
        index(`${name}_by_value`).on(
          table.experimentId,
          table.key,
          sql`left(${table.value}, ${sql.raw(String(INDEXED_CHARACTERS))})`,
          table.runId,
        ),
      ],
    );
  /** Which datasets a run used; `context` is the tag mlflow.data.context. */
  const runDatasets = schema.table(
    'run_datasets',
    {
      runId: uuid('run_id').notNull(),
      name: text().notNull(),
      digest: text().notNull(),
      sourceType: text('source_type').notNull(),
      source: text().notNull(),
      schema: text(),
      profile: text(),
      context: text(),
      tags: jsonb().$type<readonly { key: string; value: string }[]>().notNull(),
    },
    (table) => [primaryKey({ columns: [table.runId, table.name, table.digest] })],
  );
  /** Which logged models a run read or made. */
  const runModels = schema.table(
    'run_models',
    {
      runId: uuid('run_id').notNull(),
      direction: text().$type<'input' | 'output'>().notNull(),
      modelId: text('model_id').notNull(),
      step: integer().notNull().default(0),
    },
    (table) => [primaryKey({ columns: [table.runId, table.direction, table.modelId] })],
  );
  return {
    runs,
    runMetrics,
    runLatestMetrics,
    runParams: pairs('run_params'),
    runTags: pairs('run_tags'),
    runDatasets,
    runModels,
  };
}

export type RunTables = ReturnType<typeof createRunTables<string>>;
export type RunRow = RunTables['runs']['$inferSelect'];
