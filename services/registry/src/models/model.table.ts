import type { PgSchema } from 'drizzle-orm/pg-core';
import { integer, primaryKey, text, timestamp, uniqueIndex, uuid } from 'drizzle-orm/pg-core';

/** Names and what points into their versions. */
export function createModelTables<Name extends string>(schema: PgSchema<Name>) {
  const models = schema.table(
    'models',
    {
      id: uuid().primaryKey(),
      tenant: text().notNull(),
      name: text().notNull(),
      /** The highest ordinal ever given, so that none is given twice. */
      lastOrdinal: integer('last_ordinal').notNull().default(0),
      createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
    },
    (table) => [uniqueIndex('models_name').on(table.tenant, table.name)],
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
