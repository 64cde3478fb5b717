import type { PgSchema } from 'drizzle-orm/pg-core';
import { integer, jsonb, primaryKey, text, timestamp, uuid } from 'drizzle-orm/pg-core';

/** What happened to a model, in words that survive a database: times are ISO 8601 texts. */
export type ChangeEntry = Readonly<Record<string, unknown>> & {
  readonly seq: number;
  readonly at: string;
  readonly action:
    | 'registered'
    | 'stage-changed'
    | 'alias-set'
    | 'alias-removed'
    | 'withdrawn'
    | 'rollout-set'
    | 'rollout-deleted'
    | 'rollout-rolled-back';
  readonly model: string;
  readonly by: string;
  /** Of changes of one version. */
  readonly modelVersionId?: string;
  readonly version?: string;
};

/** One chain of hashes a model; a trigger refuses to change or remove a row. */
export function createChangeLogTable<Name extends string>(schema: PgSchema<Name>) {
  return schema.table(
    'change_log',
    {
      modelId: uuid('model_id').notNull(),
      seq: integer().notNull(),
      at: timestamp({ withTimezone: true }).notNull(),
      entry: jsonb().$type<ChangeEntry>().notNull(),
      prevHash: text('prev_hash').notNull(),
      hash: text().notNull(),
    },
    (table) => [primaryKey({ columns: [table.modelId, table.seq] })],
  );
}

export type ChangeLogTable = ReturnType<typeof createChangeLogTable<string>>;
export type ChangeRow = ChangeLogTable['$inferSelect'];
