import { createBusTables } from '@millrace/bus';
import type { Database } from '@millrace/database';
import { pgSchema } from 'drizzle-orm/pg-core';

export const testSchema = pgSchema('bus_test');
export const busTables = createBusTables(testSchema);

/** The three tables, as a service's first migration makes them. */
export async function createBusSchema(database: Database): Promise<void> {
  await database.pool.query(`
    create schema bus_test;
    create table bus_test.aggregate_versions (aggregate text not null, aggregate_id text not null, version bigint not null,
      primary key (aggregate, aggregate_id));
    create table bus_test.inbox (consumer text not null, message_id text not null, at timestamptz not null default now(),
      primary key (consumer, message_id));
    create table bus_test.outbox (id uuid primary key, seq bigserial not null, aggregate text not null, aggregate_id text not null,
      aggregate_version bigint not null, subject text not null, headers jsonb not null, payload bytea not null,
      created_at timestamptz not null default now(), attempts int not null default 0, next_at timestamptz not null default now(),
      published_at timestamptz, stream_seq bigint, unique (aggregate, aggregate_id, aggregate_version));
  `);
}
