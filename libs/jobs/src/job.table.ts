import type {
  Checkpoint,
  JobKind,
  JobProgress,
  JobResult,
  JobState,
  WireError,
  WorkerPool,
} from '@millrace/contracts';
import { sql } from 'drizzle-orm';
import type { PgSchema } from 'drizzle-orm/pg-core';
import {
  bigint,
  index,
  integer,
  jsonb,
  primaryKey,
  text,
  timestamp,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';

/** The tables of a job-owning service, in its own schema. */
export function createJobTables<Name extends string>(schema: PgSchema<Name>) {
  /** One row a job; `fence` grows with each claim and every effect of a worker must carry the current one. */
  const jobs = schema.table(
    'jobs',
    {
      id: uuid().primaryKey(),
      kind: text().$type<JobKind>().notNull(),
      pool: text().$type<WorkerPool>().notNull(),
      tenant: text().notNull().default('default'),
      state: text().$type<JobState>().notNull().default('queued'),
      spec: jsonb().$type<Record<string, unknown>>().notNull(),
      specSha256: text('spec_sha256').notNull(),
      idempotencyKey: text('idempotency_key'),
      fence: bigint({ mode: 'number' }).notNull().default(0),
      attempts: integer().notNull().default(0),
      maxAttempts: integer('max_attempts').notNull(),
      leaseOwner: text('lease_owner'),
      leaseUntil: timestamp('lease_until', { withTimezone: true }),
      lastStep: bigint('last_step', { mode: 'number' }).notNull().default(0),
      lastCheckpoint: jsonb('last_checkpoint').$type<Checkpoint>(),
      progress: jsonb().$type<JobProgress>(),
      result: jsonb().$type<JobResult>(),
      error: jsonb().$type<WireError>(),
      retryOf: uuid('retry_of'),
      createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
      startedAt: timestamp('started_at', { withTimezone: true }),
      finishedAt: timestamp('finished_at', { withTimezone: true }),
      /** When the last pointer to this job went into the outbox, and how many did. */
      emittedAt: timestamp('emitted_at', { withTimezone: true }).notNull().defaultNow(),
      emits: integer().notNull().default(1),
    },
    (table) => [
      uniqueIndex('jobs_idempotency')
        .on(table.tenant, table.idempotencyKey)
        .where(sql`idempotency_key is not null`),
      index('jobs_open')
        .on(table.state, table.leaseUntil)
        .where(sql`state in ('queued','running','cancelling')`),
      index('jobs_by_time').on(table.createdAt, table.id),
    ],
  );
  /** What a job's workers logged; `seq` is the position in the telemetry stream, so a repeat changes nothing. */
  const jobLogs = schema.table(
    'job_logs',
    {
      jobId: uuid('job_id').notNull(),
      seq: bigint({ mode: 'number' }).notNull(),
      fence: bigint({ mode: 'number' }).notNull(),
      time: timestamp({ withTimezone: true }).notNull(),
      level: text().notNull(),
      message: text().notNull(),
    },
    (table) => [primaryKey({ columns: [table.jobId, table.seq] })],
  );
  /** Workers that announced themselves. */
  const workers = schema.table('workers', {
    id: text().primaryKey(),
    pool: text().$type<WorkerPool>().notNull(),
    kinds: jsonb().$type<JobKind[]>().notNull(),
    devices: jsonb().$type<string[]>().notNull(),
    environmentDigest: text('environment_digest').notNull(),
    version: text().notNull(),
    host: text().notNull(),
    seenAt: timestamp('seen_at', { withTimezone: true }).notNull().defaultNow(),
  });
  return { jobs, jobLogs, workers };
}

export type JobTables = ReturnType<typeof createJobTables<string>>;
export type JobRow = JobTables['jobs']['$inferSelect'];
