import type { ArtifactRef, Stage, WireError } from '@millrace/contracts';
import { sql } from 'drizzle-orm';
import type { PgSchema } from 'drizzle-orm/pg-core';
import { index, integer, jsonb, text, timestamp, uniqueIndex, uuid } from 'drizzle-orm/pg-core';
import type { ModelTables } from '../models/model.table.ts';

/** What an import converts, and where it stands. */
export type ImportFormat = 'saved_model' | 'keras' | 'tfjs_graph' | 'weights';
export type ImportState = 'converting' | 'registered' | 'failed' | 'cancelled';

/** Uploads that are converted before they become a version. */
export function createImportTable<Name extends string>(
  schema: PgSchema<Name>,
  models: ModelTables['models'],
) {
  return schema.table(
    'imports',
    {
      id: uuid().primaryKey(),
      tenant: text().notNull(),
      modelId: uuid('model_id')
        .notNull()
        .references(() => models.id, { onDelete: 'cascade' }),
      model: text().notNull(),
      label: text().notNull(),
      stage: text().$type<Stage>().notNull(),
      format: text().$type<ImportFormat>().notNull(),
      /** The uploaded files, as they are named in the job and under source/ in the package. */
      files: jsonb().$type<readonly ArtifactRef[]>().notNull(),
      /** Decides whether two uploads are the same. */
      contentDigest: text('content_digest').notNull(),
      inputSchema: text('input_schema'),
      outputSchema: text('output_schema'),
      metadata: text(),
      state: text().$type<ImportState>().notNull().default('converting'),
      conversionJobId: uuid('conversion_job_id'),
      /** Times that a worker took the conversion up; 0 while it waits for one. */
      attempts: integer().notNull().default(0),
      startedAt: timestamp('started_at', { withTimezone: true }),
      /** An import that is not over by then is given up. */
      deadlineAt: timestamp('deadline_at', { withTimezone: true })
        .notNull()
        .default(sql`now() + interval '30 minutes'`),
      modelVersionId: uuid('model_version_id'),
      error: jsonb().$type<WireError>(),
      createdBy: text('created_by').notNull(),
      createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
      finishedAt: timestamp('finished_at', { withTimezone: true }),
    },
    (table) => [
      uniqueIndex('imports_open').on(table.modelId, table.label).where(sql`${table.state} = 'converting'`),
      index('imports_model').on(table.modelId, table.createdAt),
      index('imports_due').on(table.deadlineAt).where(sql`${table.state} = 'converting'`),
    ],
  );
}

export type ImportTable = ReturnType<typeof createImportTable<string>>;
export type ImportRow = ImportTable['$inferSelect'];
