import type { PgSchema } from 'drizzle-orm/pg-core';
import { index, text, timestamp, uuid } from 'drizzle-orm/pg-core';

/** How a training on a version stands. */
export type TrainingState = 'running' | 'succeeded' | 'failed' | 'cancelled';

/** Which trainings used which version: what the facts of training jobs said. */
export function createTrainingTable<Name extends string>(schema: PgSchema<Name>) {
  return schema.table(
    'version_trainings',
    {
      jobId: uuid('job_id').primaryKey(),
      versionId: uuid('version_id').notNull(),
      recipe: text().notNull(),
      state: text().$type<TrainingState>().notNull(),
      createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
    },
    (table) => [index('version_trainings_version').on(table.versionId, table.createdAt)],
  );
}

export type TrainingTable = ReturnType<typeof createTrainingTable<string>>;
