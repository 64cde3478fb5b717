import { sql } from 'drizzle-orm';
import type { PgSchema } from 'drizzle-orm/pg-core';
import { index, integer, jsonb, primaryKey, text, timestamp, uniqueIndex, uuid } from 'drizzle-orm/pg-core';

/** What can happen to a model, or to the governance of a tenant. */
export type ChangeAction =
  | 'model-created'
  | 'model-updated'
  | 'model-renamed'
  | 'model-deleted'
  | 'registered'
  | 'version-updated'
  | 'version-deleted'
  | 'stage-changed'
  | 'alias-set'
  | 'alias-removed'
  | 'withdrawn'
  | 'policy-set'
  | 'policy-removed'
  | 'approved'
  | 'approval-revoked'
  | 'digest-allowed'
  | 'digest-disallowed'
  | 'rollout-set'
  | 'rollout-deleted'
  | 'rollout-rolled-back';

/** What happened to a model, in words that survive a database: times are ISO 8601 texts. */
export type ChangeEntry = NewChange & { readonly seq: number; readonly at: string };

/** A change before it has its place in a history. */
export type NewChange = Readonly<Record<string, unknown>> & {
  readonly action: ChangeAction;
  /** Absent in the chain of a tenant. */
  readonly model?: string;
  readonly by: string;
  /** Of changes of one version. */
  readonly modelVersionId?: string;
  readonly version?: string;
};

/** The histories and, made from them, what held when. */
export function createHistoryTables<Name extends string>(schema: PgSchema<Name>) {
  /** One chain of hashes a model (and one a tenant); a trigger refuses to change or remove a row. */
  const changeLog = schema.table(
    'change_log',
    {
      modelId: uuid('model_id').notNull(),
      seq: integer().notNull(),
      at: timestamp({ withTimezone: true }).notNull(),
      entry: jsonb().$type<ChangeEntry>().notNull(),
      prevHash: text('prev_hash').notNull(),
      hash: text().notNull(),
    },
    (table) => [
      primaryKey({ columns: [table.modelId, table.seq] }),
      index('change_log_at').on(table.modelId, table.at, table.seq),
    ],
  );
  /** Which row of the log made what so, and from when until when: the index by which the past is read. */
  const changeFacts = schema.table(
    'change_facts',
    {
      modelId: uuid('model_id').notNull(),
      /** `stage`, `alias`, `approval`, `allowed`, `policy` or `rollout`. */
      kind: text().notNull(),
      /** Id of the version, alias, and so on; see facts.ts. */
      key: text().notNull(),
      /** Null where the row of the log ended what was so before. */
      value: text(),
      seq: integer().notNull(),
      fromAt: timestamp('from_at', { withTimezone: true }).notNull(),
      toAt: timestamp('to_at', { withTimezone: true }),
    },
    (table) => [
      primaryKey({ columns: [table.modelId, table.kind, table.key, table.fromAt, table.seq] }),
      uniqueIndex('change_facts_open').on(table.modelId, table.kind, table.key).where(sql`to_at is null`),
      index('change_facts_production')
        .using('gist', sql`tstzrange(from_at, to_at)`)
        .where(sql`kind = 'stage' and value = 'production'`),
    ],
  );
  return { changeLog, changeFacts };
}

export type HistoryTables = ReturnType<typeof createHistoryTables<string>>;
export type ChangeRow = HistoryTables['changeLog']['$inferSelect'];
