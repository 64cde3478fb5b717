import { bytea } from '@millrace/database/columns';
import { sql } from 'drizzle-orm';
import type { PgSchema } from 'drizzle-orm/pg-core';
import {
  bigint,
  bigserial,
  index,
  integer,
  jsonb,
  primaryKey,
  text,
  timestamp,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';

/** The three tables that every service keeps in its own schema to publish and consume exactly once in effect. */
export function createBusTables<Name extends string>(schema: PgSchema<Name>) {
  /** Messages that are committed and wait for, or had, their PubAck. */
  const outbox = schema.table(
    'outbox',
    {
      id: uuid().primaryKey(),
      seq: bigserial({ mode: 'number' }).notNull(),
      aggregate: text().notNull(),
      aggregateId: text('aggregate_id').notNull(),
      aggregateVersion: bigint('aggregate_version', { mode: 'number' }).notNull(),
      subject: text().notNull(),
      headers: jsonb().$type<Record<string, string>>().notNull(),
      payload: bytea().notNull(),
      createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
      attempts: integer().notNull().default(0),
      nextAt: timestamp('next_at', { withTimezone: true }).notNull().defaultNow(),
      publishedAt: timestamp('published_at', { withTimezone: true }),
      streamSeq: bigint('stream_seq', { mode: 'number' }),
    },
    (table) => [
      index('outbox_unpublished').on(table.seq).where(sql`published_at is null`),
      uniqueIndex('outbox_aggregate_version').on(table.aggregate, table.aggregateId, table.aggregateVersion),
    ],
  );
  /** The last version given to each aggregate, so that versions are gapless. */
  const aggregateVersions = schema.table(
    'aggregate_versions',
    {
      aggregate: text().notNull(),
      aggregateId: text('aggregate_id').notNull(),
      version: bigint({ mode: 'number' }).notNull(),
    },
    (table) => [primaryKey({ columns: [table.aggregate, table.aggregateId] })],
  );
  /** Messages that a consumer has taken effect of. */
  const inbox = schema.table(
    'inbox',
    {
      consumer: text().notNull(),
      messageId: text('message_id').notNull(),
      at: timestamp({ withTimezone: true }).notNull().defaultNow(),
    },
    (table) => [primaryKey({ columns: [table.consumer, table.messageId] }), index('inbox_at').on(table.at)],
  );
  return { outbox, aggregateVersions, inbox };
}

export type BusTables = ReturnType<typeof createBusTables<string>>;
