import type { WireError } from '@millrace/contracts';
import { behind, type Executor, type ListPlace, newestFirst } from '@millrace/database';
import { and, asc, eq, getTableColumns, gt, inArray, lt, or, sql } from 'drizzle-orm';
import type { BatchJobRow, BatchTables, BatchTaskRow } from './batch.table.ts';
import type { BatchResult, ChunkInput, ChunkResult, SourceHead, TaskKind } from './batch-spec.ts';

/** A task by its place in its job. */
export type TaskId = { jobId: string; kind: TaskKind; position: number };
/** A task in the hands of one attempt. */
export type HeldTask = TaskId & { fence: number };

const interval = (ms: number) => sql`${`${ms} milliseconds`}::interval`;
const OPEN = ['queued', 'running'] as const;

export type BatchRepository = ReturnType<typeof createBatchRepository>;

/** Reads and writes of batch jobs; every time is Postgres' own clock. */
export function createBatchRepository({ batchJobs: jobs, batchTasks: tasks }: BatchTables) {
  const isTask = ({ jobId, kind, position }: TaskId) =>
    and(eq(tasks.jobId, jobId), eq(tasks.kind, kind), eq(tasks.position, position));
  const isHeld = (held: HeldTask) =>
    and(isTask(held), eq(tasks.fence, held.fence), eq(tasks.state, 'running'));
  const first = async <T>(rows: Promise<T[]>): Promise<T | undefined> => (await rows)[0];
  const { sources: _sources, heads: _heads, ...listed } = getTableColumns(jobs);

  return {
    insert: (tx: Executor, row: typeof jobs.$inferInsert) =>
      first(tx.insert(jobs).values(row).onConflictDoNothing().returning()),

    find: (db: Executor, id: string) => first(db.select().from(jobs).where(eq(jobs.id, id))),

    findOf: (db: Executor, tenant: string, id: string) =>
      first(
        db
          .select()
          .from(jobs)
          .where(and(eq(jobs.id, id), eq(jobs.tenant, tenant))),
      ),

    findByKey: (db: Executor, tenant: string, idempotencyKey: string) =>
      first(
        db
          .select()
          .from(jobs)
          .where(and(eq(jobs.tenant, tenant), eq(jobs.idempotencyKey, idempotencyKey))),
      ),

    /** Locks a job, so that its counts and its end are decided by one at a time. */
    lock: (tx: Executor, id: string) => first(tx.select().from(jobs).where(eq(jobs.id, id)).for('update')),

    async countOpen(db: Executor, tenant: string): Promise<number> {
      const rows = await db
        .select({ count: sql<number>`count(*)::int` })
        .from(jobs)
        .where(and(eq(jobs.tenant, tenant), inArray(jobs.state, OPEN)));
      return rows[0]?.count ?? 0;
    },

    /** Newest first; `after` is the last row of the page before. */
    list: (
      db: Executor,
      tenant: string,
      options: { limit: number; state?: BatchJobRow['state']; after?: ListPlace },
    ) =>
      db
        .select(listed)
        .from(jobs)
        .where(
          and(
            eq(jobs.tenant, tenant),
            options.state === undefined ? undefined : eq(jobs.state, options.state),
            behind(jobs, options.after),
          ),
        )
        .orderBy(...newestFirst(jobs))
        .limit(options.limit),

    start: (tx: Executor, id: string) =>
      tx
        .update(jobs)
        .set({ state: 'running', startedAt: sql`now()` })
        .where(and(eq(jobs.id, id), eq(jobs.state, 'queued'))),

    /** Ends a job that has not ended; the row, or nothing when it had. */
    finish: (
      tx: Executor,
      id: string,
      end: { state: 'succeeded' | 'failed' | 'cancelled'; result?: BatchResult; error?: WireError },
    ) =>
      first(
        tx
          .update(jobs)
          .set({
            state: end.state,
            result: end.result ?? null,
            error: end.error ?? null,
            finishedAt: sql`now()`,
          })
          .where(and(eq(jobs.id, id), inArray(jobs.state, OPEN)))
          .returning(),
      ),

    addHead: (tx: Executor, id: string, source: number, head: SourceHead) =>
      tx
        .update(jobs)
        .set({ heads: sql`${jobs.heads} || ${JSON.stringify({ [source]: head })}::jsonb` })
        .where(eq(jobs.id, id)),

    addPlanned: (tx: Executor, id: string, { chunks, rows }: { chunks: number; rows: number }) =>
      tx
        .update(jobs)
        .set({
          chunksPlanned: sql`${jobs.chunksPlanned} + ${chunks}`,
          rowsPlanned: sql`${jobs.rowsPlanned} + ${rows}`,
        })
        .where(eq(jobs.id, id)),

    setPlanned: (tx: Executor, id: string) =>
      first(tx.update(jobs).set({ isPlanned: true }).where(eq(jobs.id, id)).returning()),

    addDone: (tx: Executor, id: string, { rows, skipped }: { rows: number; skipped: number }) =>
      first(
        tx
          .update(jobs)
          .set({
            chunksDone: sql`${jobs.chunksDone} + 1`,
            rowsDone: sql`${jobs.rowsDone} + ${rows}`,
            rowsSkipped: sql`${jobs.rowsSkipped} + ${skipped}`,
          })
          .where(eq(jobs.id, id))
          .returning(),
      ),

    /** Adds tasks that are not there yet; gives back those it added. */
    addTasks: (tx: Executor, rows: (TaskId & { input?: ChunkInput })[]) =>
      tx
        .insert(tasks)
        .values(rows.map((row) => ({ ...row, state: 'waiting' as const })))
        .onConflictDoNothing()
        .returning(),

    async openTasks(db: Executor, jobId: string): Promise<number> {
      const rows = await db
        .select({ count: sql<number>`count(*)::int` })
        .from(tasks)
        .where(and(eq(tasks.jobId, jobId), inArray(tasks.state, OPEN)));
      return rows[0]?.count ?? 0;
    },

    waiting: (tx: Executor, jobId: string, limit: number) =>
      tx
        .select()
        .from(tasks)
        .where(and(eq(tasks.jobId, jobId), eq(tasks.state, 'waiting')))
        .orderBy(asc(tasks.kind), asc(tasks.position))
        .limit(limit),

    markEmitted: (tx: Executor, task: TaskId) =>
      tx
        .update(tasks)
        .set({ state: 'queued', leaseUntil: null, emittedAt: sql`now()`, emits: sql`${tasks.emits} + 1` })
        .where(isTask(task)),

    /** Takes a task that is announced or whose lease ran out, of a job that has not ended. */
    claim: (tx: Executor, task: TaskId, leaseMs: number) =>
      first(
        tx
          .update(tasks)
          .set({
            state: 'running',
            fence: sql`${tasks.fence} + 1`,
            attempts: sql`${tasks.attempts} + 1`,
            leaseUntil: sql`now() + ${interval(leaseMs)}`,
          })
          .where(
            and(
              isTask(task),
              or(
                eq(tasks.state, 'queued'),
                and(eq(tasks.state, 'running'), lt(tasks.leaseUntil, sql`now()`)),
              ),
            ),
          )
          .returning(),
      ),

    findTask: (db: Executor, task: TaskId) => first(db.select().from(tasks).where(isTask(task))),

    /** Renews a lease; whether the attempt still owns the task of a job that goes on. */
    async renew(db: Executor, held: HeldTask, leaseMs: number): Promise<boolean> {
      const rows = await db
        .update(tasks)
        .set({ leaseUntil: sql`now() + ${interval(leaseMs)}` })
        .where(
          and(
            isHeld(held),
            sql`exists (select 1 from ${jobs} where ${jobs.id} = ${held.jobId} and ${jobs.state} = 'running')`,
          ),
        )
        .returning({ position: tasks.position });
      return rows.length > 0;
    },

    /** Marks a task done; false when another attempt owns it. */
    async done(tx: Executor, held: HeldTask, result?: ChunkResult): Promise<boolean> {
      const rows = await tx
        .update(tasks)
        .set({ state: 'done', leaseUntil: null, error: null, ...(result !== undefined && { result }) })
        .where(isHeld(held))
        .returning({ position: tasks.position });
      return rows.length > 0;
    },

    /** Gives a task back after an attempt that failed. */
    giveBack: (tx: Executor, held: HeldTask, options: { error: WireError; isAttemptUsed: boolean }) =>
      first(
        tx
          .update(tasks)
          .set({
            state: 'queued',
            leaseUntil: null,
            error: options.error,
            emittedAt: sql`now()`,
            ...(options.isAttemptUsed ? {} : { attempts: sql`greatest(${tasks.attempts} - 1, 0)` }),
          })
          .where(isHeld(held))
          .returning(),
      ),

    /** Parts in the order of their rows, after a position. */
    parts: (db: Executor, jobId: string, options: { after: number; limit: number }) =>
      db
        .select()
        .from(tasks)
        .where(
          and(
            eq(tasks.jobId, jobId),
            eq(tasks.kind, 'chunk'),
            eq(tasks.state, 'done'),
            gt(tasks.position, options.after),
          ),
        )
        .orderBy(asc(tasks.position))
        .limit(options.limit),

    /** Tasks of open jobs that nobody works on although they should be; locked, so that replicas do not treat one twice. */
    stray: (tx: Executor, options: { reemitAfterMs: number; limit: number }): Promise<BatchTaskRow[]> =>
      tx
        .select()
        .from(tasks)
        .where(
          and(
            inArray(tasks.jobId, tx.select({ id: jobs.id }).from(jobs).where(inArray(jobs.state, OPEN))),
            or(
              and(eq(tasks.state, 'running'), lt(tasks.leaseUntil, sql`now()`)),
              and(
                eq(tasks.state, 'queued'),
                lt(
                  tasks.emittedAt,
                  sql`now() - ${interval(options.reemitAfterMs)} * least(power(2, greatest(${tasks.emits} - 1, 0)), 16)`,
                ),
              ),
            ),
          ),
        )
        .orderBy(asc(tasks.emittedAt))
        .limit(options.limit)
        .for('update', { skipLocked: true }),
  };
}
