import type { JobState, WireError } from '@millrace/contracts';
import { sql } from 'drizzle-orm';
import type { PgSchema } from 'drizzle-orm/pg-core';
import {
  bigint,
  boolean,
  index,
  integer,
  jsonb,
  primaryKey,
  text,
  timestamp,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';
import type {
  BatchResult,
  BatchSource,
  BatchSpec,
  ChunkInput,
  ChunkResult,
  SourceHead,
  TaskKind,
} from './batch-spec.ts';

const rowCount = (name: string) => bigint(name, { mode: 'number' }).notNull().default(0);

/** Batch jobs and the tasks that each consists of. */
export function createBatchTables<Name extends string>(schema: PgSchema<Name>) {
  const batchJobs = schema.table(
    'batch_jobs',
    {
      id: uuid().primaryKey(),
      tenant: text().notNull(),
      createdBy: text('created_by').notNull(),
      state: text().$type<JobState>().notNull().default('queued'),
      spec: jsonb().$type<BatchSpec>().notNull(),
      sources: jsonb().$type<BatchSource[]>().notNull(),
      /** By the position of the source. */
      heads: jsonb().$type<Record<string, SourceHead>>().notNull().default({}),
      /** Digest of the body as it came in, to compare submissions with one idempotency key. */
      bodySha256: text('body_sha256').notNull(),
      idempotencyKey: text('idempotency_key'),
      isPlanned: boolean('is_planned').notNull().default(false),
      rowsPlanned: rowCount('rows_planned'),
      rowsDone: rowCount('rows_done'),
      rowsSkipped: rowCount('rows_skipped'),
      chunksPlanned: integer('chunks_planned').notNull().default(0),
      chunksDone: integer('chunks_done').notNull().default(0),
      result: jsonb().$type<BatchResult>(),
      error: jsonb().$type<WireError>(),
      createdAt: timestamp('created_at', { withTimezone: true, precision: 3 }).notNull().defaultNow(),
      startedAt: timestamp('started_at', { withTimezone: true }),
      finishedAt: timestamp('finished_at', { withTimezone: true }),
    },
    (table) => [
      uniqueIndex('batch_jobs_idempotency')
        .on(table.tenant, table.idempotencyKey)
        .where(sql`idempotency_key is not null`),
      index('batch_jobs_by_time').on(table.tenant, table.createdAt, table.id),
    ],
  );
  /** A task waits, is announced (queued), held by whoever has the current fence (running), or done. */
  const batchTasks = schema.table(
    'batch_tasks',
    {
      jobId: uuid('job_id')
        .notNull()
        .references(() => batchJobs.id, { onDelete: 'cascade' }),
      kind: text().$type<TaskKind>().notNull(),
      position: integer().notNull(),
      state: text().$type<'waiting' | 'queued' | 'running' | 'done'>().notNull(),
      input: jsonb().$type<ChunkInput>(),
      result: jsonb().$type<ChunkResult>(),
      fence: bigint({ mode: 'number' }).notNull().default(0),
      attempts: integer().notNull().default(0),
      leaseUntil: timestamp('lease_until', { withTimezone: true }),
      /** When the last pointer to this task went into the outbox, and how many did. */
      emittedAt: timestamp('emitted_at', { withTimezone: true }),
      emits: integer().notNull().default(0),
      /** Why the last attempt ended without a result. */
      error: jsonb().$type<WireError>(),
    },
    (table) => [
      primaryKey({ columns: [table.jobId, table.kind, table.position] }),
      index('batch_tasks_open').on(table.state, table.leaseUntil).where(sql`state in ('queued','running')`),
    ],
  );
  return { batchJobs, batchTasks };
}

export type BatchTables = ReturnType<typeof createBatchTables<string>>;
export type BatchJobRow = BatchTables['batchJobs']['$inferSelect'];
export type BatchTaskRow = BatchTables['batchTasks']['$inferSelect'];
