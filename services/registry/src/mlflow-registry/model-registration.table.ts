import { sql } from 'drizzle-orm';
import type { PgSchema } from 'drizzle-orm/pg-core';
import { bigint, index, integer, jsonb, text, timestamp, uniqueIndex, uuid } from 'drizzle-orm/pg-core';
import type { ModelTables, Tags } from '../models/model.table.ts';
import type { VersionTables } from '../versions/version.table.ts';

export const registrationStatuses = ['PENDING_REGISTRATION', 'READY', 'FAILED_REGISTRATION'] as const;
export type RegistrationStatus = (typeof registrationStatuses)[number];

/** Versions that MLflow's clients asked for: on their way, refused, or registered as a version of the model. */
export function createModelRegistrationTable<Name extends string>(
  schema: PgSchema<Name>,
  tables: Pick<ModelTables, 'models'> & Pick<VersionTables, 'modelVersions'>,
) {
  const ms = (name: string) => bigint(name, { mode: 'number' });
  return schema.table(
    'model_registrations',
    {
      id: uuid().primaryKey(),
      modelId: uuid('model_id')
        .notNull()
        .references(() => tables.models.id, { onDelete: 'cascade' }),
      /** The number that MLflow shows; taken when it was asked for. */
      ordinal: integer().notNull(),
      status: text().$type<RegistrationStatus>().notNull(),
      statusMessage: text('status_message').notNull().default(''),
      /** As the client wrote it, and where the files lie: a path of artifacts, or a version to copy. */
      source: text().notNull(),
      artifactPath: text('artifact_path'),
      copiedFrom: uuid('copied_from'),
      runId: text('run_id').notNull().default(''),
      runLink: text('run_link').notNull().default(''),
      loggedModelId: text('logged_model_id').notNull().default(''),
      /** Until it is registered; then those of the version count. */
      description: text().notNull().default(''),
      tags: jsonb().$type<Tags>().notNull().default({}),
      createdBy: text('created_by').notNull(),
      createdMs: ms('created_ms').notNull(),
      updatedMs: ms('updated_ms').notNull(),
      /** Set when it is registered; it goes with the version. */
      modelVersionId: uuid('model_version_id')
        .unique()
        .references(() => tables.modelVersions.id, { onDelete: 'cascade' }),
      attempts: integer().notNull().default(0),
      claimedUntil: timestamp('claimed_until', { withTimezone: true }),
    },
    (table) => [
      uniqueIndex('model_registrations_ordinal').on(table.modelId, table.ordinal),
      index('model_registrations_pending').on(table.createdMs).where(sql`status = 'PENDING_REGISTRATION'`),
    ],
  );
}

export type ModelRegistrationTable = ReturnType<typeof createModelRegistrationTable<string>>;
export type ModelRegistrationRow = ModelRegistrationTable['$inferSelect'];
