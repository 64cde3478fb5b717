import type { DatasetInput, WireError, WorkerPool } from '@millrace/contracts';
import { sql } from 'drizzle-orm';
import type { PgSchema } from 'drizzle-orm/pg-core';
import { boolean, index, integer, jsonb, text, timestamp, uniqueIndex, uuid } from 'drizzle-orm/pg-core';
import type { PipelineQuantization } from './pipeline-quantization.ts';

export type PipelineStage = 'dataset' | 'train' | 'convert' | 'register' | 'load' | 'done';
export type PipelineState = 'running' | 'succeeded' | 'failed' | 'cancelled';

/** What was asked for, with every default filled in. */
export type PipelineRequest = {
  recipe: string;
  recipeVersion: string;
  params: Record<string, unknown>;
  pool: WorkerPool;
  /** What the generator is asked for, or the version that is there. */
  dataset: { name: string; params: Record<string, unknown> } | { versionId: string };
  model: string;
  version?: string;
  opset: number;
  tolerance: number;
  quantization?: PipelineQuantization;
};

/** When each stage ended (ISO 8601), for the gaps between them. */
export type PipelineTimes = Partial<Record<PipelineStage, string>>;

/** One row a pipeline: the saga that drives data -> train -> convert -> register -> load by events. */
export function createPipelineTable<Name extends string>(schema: PgSchema<Name>) {
  return schema.table(
    'pipelines',
    {
      id: uuid().primaryKey(),
      tenant: text().notNull().default('default'),
      /** The principal that started it: who registers what comes of it. Null for those of before this was kept. */
      createdBy: text('created_by'),
      state: text().$type<PipelineState>().notNull().default('running'),
      stage: text().$type<PipelineStage>().notNull().default('dataset'),
      request: jsonb().$type<PipelineRequest>().notNull(),
      requestSha256: text('request_sha256').notNull(),
      idempotencyKey: text('idempotency_key'),
      dataset: jsonb().$type<DatasetInput>(),
      isDatasetReused: boolean('is_dataset_reused').notNull().default(false),
      trainingJobId: uuid('training_job_id'),
      conversionJobId: uuid('conversion_job_id'),
      modelVersionId: uuid('model_version_id'),
      modelVersion: text('model_version'),
      modelVersionOrdinal: integer('model_version_ordinal'),
      isVersionReused: boolean('is_version_reused').notNull().default(false),
      times: jsonb().$type<PipelineTimes>().notNull().default({}),
      error: jsonb().$type<WireError>(),
      createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
      finishedAt: timestamp('finished_at', { withTimezone: true }),
    },
    (table) => [
      uniqueIndex('pipelines_idempotency')
        .on(table.tenant, table.idempotencyKey)
        .where(sql`idempotency_key is not null`),
      index('pipelines_by_time').on(table.createdAt, table.id),
      index('pipelines_training_job').on(table.trainingJobId),
    ],
  );
}

export type PipelineTable = ReturnType<typeof createPipelineTable<string>>;
export type PipelineRow = PipelineTable['$inferSelect'];
