import type { PgSchema } from 'drizzle-orm/pg-core';
import { bigint, doublePrecision, index, primaryKey, text, uuid } from 'drizzle-orm/pg-core';
import type { ExperimentTables, LifecycleStage } from './experiment.table.ts';

export const loggedModelStatuses = [
  'LOGGED_MODEL_PENDING',
  'LOGGED_MODEL_READY',
  'LOGGED_MODEL_UPLOAD_FAILED',
] as const;
export type LoggedModelStatus = (typeof loggedModelStatuses)[number];

/** MLflow 3's logged models: what a run made before anybody registers it. */
export function createLoggedModelTables<Name extends string>(
  schema: PgSchema<Name>,
  experiments: ExperimentTables['experiments'],
) {
  const ms = (name: string) => bigint(name, { mode: 'number' });
  const loggedModels = schema.table(
    'logged_models',
    {
      /** `m-` and 32 hex digits. */
      id: text().primaryKey(),
      tenant: text().notNull(),
      experimentId: ms('experiment_id')
        .notNull()
        .references(() => experiments.id),
      name: text().notNull(),
      sourceRunId: uuid('source_run_id'),
      modelType: text('model_type'),
      status: text().$type<LoggedModelStatus>().notNull(),
      artifactUri: text('artifact_uri').notNull(),
      lifecycleStage: text('lifecycle_stage').$type<LifecycleStage>().notNull().default('active'),
      createdMs: ms('created_ms').notNull(),
      updatedMs: ms('updated_ms').notNull(),
    },
    (table) => [index('logged_models_by_creation').on(table.experimentId, table.createdMs.desc(), table.id)],
  );
  const modelId = () =>
    text('model_id')
      .notNull()
      .references(() => loggedModels.id, { onDelete: 'cascade' });
  const loggedModelParams = schema.table(
    'logged_model_params',
    { modelId: modelId(), key: text().notNull(), value: text().notNull() },
    (table) => [primaryKey({ columns: [table.modelId, table.key] })],
  );
  const loggedModelTags = schema.table(
    'logged_model_tags',
    { modelId: modelId(), key: text().notNull(), value: text().notNull() },
    (table) => [primaryKey({ columns: [table.modelId, table.key] })],
  );
  /** Metrics of runs that name the model, each with its dataset (empty texts for none). */
  const loggedModelMetrics = schema.table(
    'logged_model_metrics',
    {
      modelId: modelId(),
      runId: uuid('run_id').notNull(),
      key: text().notNull(),
      timestampMs: ms('timestamp_ms').notNull(),
      step: ms('step').notNull(),
      value: doublePrecision().notNull(),
      datasetName: text('dataset_name').notNull().default(''),
      datasetDigest: text('dataset_digest').notNull().default(''),
    },
    (table) => [
      primaryKey({
        name: 'logged_model_metrics_pk',
        columns: [
          table.modelId,
          table.key,
          table.timestampMs,
          table.step,
          table.runId,
          table.datasetName,
          table.datasetDigest,
          table.value,
        ],
      }),
    ],
  );
  return { loggedModels, loggedModelParams, loggedModelTags, loggedModelMetrics };
}

export type LoggedModelTables = ReturnType<typeof createLoggedModelTables<string>>;
export type LoggedModelRow = LoggedModelTables['loggedModels']['$inferSelect'];
