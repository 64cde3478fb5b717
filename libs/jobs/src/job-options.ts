import type { Outbox } from '@millrace/bus';
import type { JobEvents, JobKind, JobResult, WireError, WorkerPool } from '@millrace/contracts';
import type { Database, Executor } from '@millrace/database';
import type { QuotaOf } from '@millrace/service-kit';
import type { JobRow, JobTables } from './job.table.ts';

/** Times and bounds of a job kind. */
export type JobSettings = {
  /** A claim not renewed for this long may be taken by another worker. */
  leaseMs: number;
  heartbeatMs: number;
  /** A running job without a step for this long is stopped by its worker. */
  stallTimeoutMs: number;
  maxAttempts: number;
  /** A pool without a live worker counts as starting for so long after service and job began. */
  workerGraceMs: number;
  /** A queued job is announced again after this long, doubling up to 16 times it. */
  reemitAfterMs: number;
};

export const defaultJobSettings: JobSettings = {
  leaseMs: 30_000,
  heartbeatMs: 10_000,
  stallTimeoutMs: 300_000,
  maxAttempts: 5,
  workerGraceMs: 60_000,
  reemitAfterMs: 60_000,
};

/** What a service does in the same transaction when a job of its ends. */
export type JobHooks = {
  onSucceeded?: (tx: Executor, job: JobRow, result: JobResult) => Promise<void>;
  onFailed?: (tx: Executor, job: JobRow, error: WireError) => Promise<void>;
  onCancelled?: (tx: Executor, job: JobRow) => Promise<void>;
};

/** What a job service is made of. */
export type JobServiceOptions = {
  /** Name of the owning service, as in `millrace.rpc.<service>`. */
  service: string;
  kind: JobKind;
  events: JobEvents;
  database: Database;
  tables: JobTables;
  outbox: Outbox;
  settings?: Partial<JobSettings>;
  /** Bounds of tenants; jobs that somebody submits are kept within them. */
  quotaOf?: QuotaOf;
  hooks?: JobHooks;
  /** Called after each claim and heartbeat of a job, for hints to whoever works next; must not throw. */
  onAlive?: (jobId: string) => void;
  /** Tells the worker of a running job at once that it is to stop; only a hint. */
  hintCancel?: (jobId: string) => void;
};

/** A job to be created. */
export type NewJob = {
  id?: string;
  spec: Record<string, unknown>;
  pool: WorkerPool;
  tenant: string;
  /** A second submission with the same key and spec gives the first job; with another spec it is refused. */
  idempotencyKey?: string;
  retryOf?: string;
};
