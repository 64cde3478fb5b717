import { sql } from 'drizzle-orm';
import type { PgSchema } from 'drizzle-orm/pg-core';
import { integer, jsonb, primaryKey, text, timestamp, uniqueIndex, uuid } from 'drizzle-orm/pg-core';

/** Words that users hang on a model or a version, value by key. */
export type Tags = Readonly<Record<string, string>>;

/** Names and what points into their versions. */
export function createModelTables<Name extends string>(schema: PgSchema<Name>) {
  const models = schema.table(
    'models',
    {
      id: uuid().primaryKey(),
      tenant: text().notNull(),
      name: text().notNull(),
      description: text().notNull().default(''),
      tags: jsonb().$type<Tags>().notNull().default({}),
      /** The highest ordinal ever given, so that none is given twice. */
      lastOrdinal: integer('last_ordinal').notNull().default(0),
      createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
      updatedAt: timestamp('updated_at', { withTimezone: true }).notNull().defaultNow(),
      /** A deleted model keeps its row, so that its history keeps a tenant; its name is free. */
      deletedAt: timestamp('deleted_at', { withTimezone: true }),
    },
    (table) => [uniqueIndex('models_name').on(table.tenant, table.name).where(sql`deleted_at is null`)],
  );
  /** A name such as `champion` for one version of a model. */
  const aliases = schema.table(
    'aliases',
    {
      modelId: uuid('model_id')
        .notNull()
        .references(() => models.id, { onDelete: 'cascade' }),
      alias: text().notNull(),
      modelVersionId: uuid('model_version_id').notNull(),
      setAt: timestamp('set_at', { withTimezone: true }).notNull().defaultNow(),
    },
    (table) => [primaryKey({ columns: [table.modelId, table.alias] })],
  );
  return { models, aliases };
}

export type ModelTables = ReturnType<typeof createModelTables<string>>;
export type ModelRow = ModelTables['models']['$inferSelect'];
