import { sql } from 'drizzle-orm';
import type { PgSchema } from 'drizzle-orm/pg-core';
import { bigint, boolean, primaryKey, text, uniqueIndex } from 'drizzle-orm/pg-core';

/** What is active, or deleted and may be restored. */
export type LifecycleStage = 'active' | 'deleted';

/** Experiments and their tags. Times are milliseconds since 1970, as MLflow has them. */
export function createExperimentTables<Name extends string>(schema: PgSchema<Name>) {
  const experiments = schema.table(
    'experiments',
    {
      id: bigint({ mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
      tenant: text().notNull(),
      /** MLflow's experiment 0, which every tenant has; it is called 0 on the wire. */
      isDefault: boolean('is_default').notNull().default(false),
      name: text().notNull(),
      /** Set where a client chose another place than ours for artifacts. */
      artifactLocation: text('artifact_location'),
      lifecycleStage: text('lifecycle_stage').$type<LifecycleStage>().notNull().default('active'),
      createdMs: bigint('created_ms', { mode: 'number' }).notNull(),
      updatedMs: bigint('updated_ms', { mode: 'number' }).notNull(),
    },
    (table) => [
      uniqueIndex('experiments_name').on(table.tenant, table.name),
      uniqueIndex('experiments_default').on(table.tenant).where(sql`is_default`),
    ],
  );
  const experimentTags = schema.table(
    'experiment_tags',
    {
      experimentId: bigint('experiment_id', { mode: 'number' })
        .notNull()
        .references(() => experiments.id, { onDelete: 'cascade' }),
      key: text().notNull(),
      value: text().notNull(),
    },
    (table) => [primaryKey({ columns: [table.experimentId, table.key] })],
  );
  return { experiments, experimentTags };
}

export type ExperimentTables = ReturnType<typeof createExperimentTables<string>>;
export type ExperimentRow = ExperimentTables['experiments']['$inferSelect'];
