import type {
  Checkpoint,
  JobProgress,
  JobResult,
  JobState,
  WireError,
  WorkerPool,
} from '@millrace/contracts';
import { behind, type Executor, type ListPlace, newestFirst } from '@millrace/database';
import { and, asc, eq, inArray, lt, or, sql } from 'drizzle-orm';
import type { JobRow, JobTables } from './job.table.ts';

const interval = (ms: number) => sql`${`${ms} milliseconds`}::interval`;

/** A worker counts as alive for this long after it announced itself (ms). */
export const WORKER_ALIVE_MS = 30_000;

/** Reads and writes of jobs; every time is Postgres' own clock, so a worker's clock cannot matter. */
export function createJobRepository({ jobs, jobLogs, workers }: JobTables) {
  /** The condition under which a fenced call still owns its job. */
  const owns = (jobId: string, fence: number) =>
    and(eq(jobs.id, jobId), eq(jobs.fence, fence), inArray(jobs.state, ['running', 'cancelling']));

  const one = async (rows: Promise<JobRow[]>): Promise<JobRow | undefined> => (await rows)[0];

  return {
    insert: (tx: Executor, row: typeof jobs.$inferInsert) =>
      one(tx.insert(jobs).values(row).onConflictDoNothing().returning()),

    find: (db: Executor, id: string) => one(db.select().from(jobs).where(eq(jobs.id, id))),

    findByIdempotencyKey: (db: Executor, tenant: string, key: string) =>
      one(
        db
          .select()
          .from(jobs)
          .where(and(eq(jobs.tenant, tenant), eq(jobs.idempotencyKey, key))),
      ),

    lock: (tx: Executor, id: string) => one(tx.select().from(jobs).where(eq(jobs.id, id)).for('update')),

    /** Newest first, `after` is the last row of the page before. */
    list: (
      db: Executor,
      options: {
        tenant: string;
        limit: number;
        state?: JobState;
        after?: ListPlace;
      },
    ) =>
      db
        .select()
        .from(jobs)
        .where(
          and(
            eq(jobs.tenant, options.tenant),
            options.state === undefined ? undefined : eq(jobs.state, options.state),
            behind(jobs, options.after),
          ),
        )
        .orderBy(...newestFirst(jobs))
        .limit(options.limit),

    /** Takes a job that waits or whose lease ran out; nothing when it is not to be had. */
    claim: (tx: Executor, jobId: string, workerId: string, leaseMs: number) =>
      one(
        tx
          .update(jobs)
          .set({
            fence: sql`${jobs.fence} + 1`,
            attempts: sql`${jobs.attempts} + 1`,
            state: 'running',
            leaseOwner: workerId,
            leaseUntil: sql`now() + ${interval(leaseMs)}`,
            startedAt: sql`coalesce(${jobs.startedAt}, now())`,
          })
          .where(
            and(
              eq(jobs.id, jobId),
              lt(jobs.attempts, jobs.maxAttempts),
              or(eq(jobs.state, 'queued'), and(eq(jobs.state, 'running'), lt(jobs.leaseUntil, sql`now()`))),
            ),
          )
          .returning(),
      ),

    /** Milliseconds until the lease of a job ends; 0 when it has. */
    async leaseLeftMs(db: Executor, jobId: string): Promise<number> {
      const rows = await db
        .select({
          ms: sql<number>`greatest(0, extract(epoch from (${jobs.leaseUntil} - now())) * 1000)::float8`,
        })
        .from(jobs)
        .where(eq(jobs.id, jobId));
      return Math.ceil(rows[0]?.ms ?? 0);
    },

    renew: (
      tx: Executor,
      call: { jobId: string; fence: number; step: number; progress?: JobProgress },
      leaseMs: number,
    ) =>
      one(
        tx
          .update(jobs)
          .set({
            leaseUntil: sql`now() + ${interval(leaseMs)}`,
            lastStep: sql`greatest(${jobs.lastStep}, ${call.step})`,
            ...(call.progress === undefined ? {} : { progress: call.progress }),
          })
          .where(owns(call.jobId, call.fence))
          .returning(),
      ),

    setCheckpoint: (tx: Executor, jobId: string, fence: number, checkpoint: Checkpoint, leaseMs: number) =>
      one(
        tx
          .update(jobs)
          .set({
            lastCheckpoint: checkpoint,
            lastStep: sql`greatest(${jobs.lastStep}, ${checkpoint.step})`,
            leaseUntil: sql`now() + ${interval(leaseMs)}`,
          })
          .where(owns(jobId, fence))
          .returning(),
      ),

    setProgress: (db: Executor, jobId: string, fence: number, progress: JobProgress) =>
      db.update(jobs).set({ progress }).where(owns(jobId, fence)),

    /** Ends a job for good. The caller holds its row lock and has checked the transition. */
    finish: (
      tx: Executor,
      jobId: string,
      end: { state: 'succeeded' | 'failed' | 'cancelled'; result?: JobResult; error?: WireError },
    ) =>
      one(
        tx
          .update(jobs)
          .set({
            state: end.state,
            result: end.result ?? null,
            error: end.error ?? null,
            leaseOwner: null,
            leaseUntil: null,
            finishedAt: sql`now()`,
          })
          .where(eq(jobs.id, jobId))
          .returning(),
      ),

    /** Puts a job back into the queue; a graceful release does not use up an attempt. */
    requeue: (tx: Executor, jobId: string, options: { isAttemptUsed: boolean; error?: WireError }) =>
      one(
        tx
          .update(jobs)
          .set({
            state: 'queued',
            leaseOwner: null,
            leaseUntil: null,
            error: options.error ?? null,
            ...(options.isAttemptUsed ? {} : { attempts: sql`greatest(${jobs.attempts} - 1, 0)` }),
          })
          .where(eq(jobs.id, jobId))
          .returning(),
      ),

    setCancelling: (tx: Executor, jobId: string) =>
      one(tx.update(jobs).set({ state: 'cancelling' }).where(eq(jobs.id, jobId)).returning()),

    markEmitted: (tx: Executor, jobId: string) =>
      tx
        .update(jobs)
        .set({ emittedAt: sql`now()`, emits: sql`${jobs.emits} + 1` })
        .where(eq(jobs.id, jobId)),

    /** Jobs that nobody works on although they should be: locked, so that replicas do not treat one twice. */
    findStray: (tx: Executor, options: { reemitAfterMs: number; limit: number }) =>
      tx
        .select()
        .from(jobs)
        .where(
          or(
            and(inArray(jobs.state, ['running', 'cancelling']), lt(jobs.leaseUntil, sql`now()`)),
            and(
              eq(jobs.state, 'queued'),
              lt(
                jobs.emittedAt,
                sql`now() - ${interval(options.reemitAfterMs)} * least(power(2, ${jobs.emits} - 1), 16)`,
              ),
            ),
          ),
        )
        .orderBy(asc(jobs.createdAt))
        .limit(options.limit)
        .for('update', { skipLocked: true }),

    addLog: (
      db: Executor,
      line: { jobId: string; seq: number; fence: number; time: Date; level: string; message: string },
    ) => db.insert(jobLogs).values(line).onConflictDoNothing(),

    logs: (db: Executor, jobId: string, options: { afterSeq: number; limit: number }) =>
      db
        .select()
        .from(jobLogs)
        .where(and(eq(jobLogs.jobId, jobId), sql`${jobLogs.seq} > ${options.afterSeq}`))
        .orderBy(asc(jobLogs.seq))
        .limit(options.limit),

    announce: (db: Executor, worker: typeof workers.$inferInsert) =>
      db
        .insert(workers)
        .values(worker)
        .onConflictDoUpdate({ target: workers.id, set: { ...worker, seenAt: sql`now()` } }),

    liveWorkers: (db: Executor) =>
      db
        .select()
        .from(workers)
        .where(sql`${workers.seenAt} > now() - ${interval(WORKER_ALIVE_MS)}`)
        .orderBy(asc(workers.id)),

    forgetWorkers: (db: Executor) =>
      db.delete(workers).where(sql`${workers.seenAt} < now() - interval '1 day'`),

    /** Pools with a live worker, and Postgres' time (ms since 1970). */
    async livePools(db: Executor): Promise<{ now: number; pools: ReadonlySet<WorkerPool> }> {
      const isAlive = sql`${workers.seenAt} > now() - ${interval(WORKER_ALIVE_MS)}`;
      const [row] = await db
        .select({
          now: sql<number>`(extract(epoch from now()) * 1000)::float8`,
          pools: sql<WorkerPool[] | null>`array_agg(distinct ${workers.pool}) filter (where ${isAlive})`,
        })
        .from(workers);
      return { now: row?.now ?? 0, pools: new Set(row?.pools) };
    },
  };
}

export type JobRepository = ReturnType<typeof createJobRepository>;
