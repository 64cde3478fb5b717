import type { Outbox } from '@millrace/bus';
import type { WireError } from '@millrace/contracts';
import { AppError, isTerminal } from '@millrace/contracts';
import type { Database, Executor } from '@millrace/database';
import type { BatchRepository, HeldTask, TaskId } from './batch.repository.ts';
import type { BatchJobRow, BatchTaskRow } from './batch.table.ts';
import type { BatchResult, ChunkInput, ChunkResult, SourceHead } from './batch-spec.ts';

/** An attempt that says nothing for so long has lost its task (ms). */
export const LEASE_MS = 30_000;
/** Attempts of a task that end without a result before the job fails. */
export const ATTEMPTS_MAX = 5;
/** Chunks of one job that are announced at once: jobs that come later do not wait for all of an earlier one. */
const WINDOW = 32;
/** A task that is announced and not taken is announced again after this, doubling up to 16 times it (ms). */
const REEMIT_MS = 60_000;
const STRAY_MAX = 100;

export const BATCH_SUBJECT = 'millrace.job.batch.cpu';

/** Faults of the surroundings: they pass, and no attempt is used up while they last. */
const PASSING: ReadonlySet<string> = new Set([
  'queue_full',
  'deadline_exceeded',
  'shutting_down',
  'dependency_unavailable',
  'storage_unavailable',
  'database_unavailable',
]);

export type Claim =
  | { outcome: 'claimed'; job: BatchJobRow; task: BatchTaskRow; held: HeldTask }
  | { outcome: 'gone' }
  | { outcome: 'leased' };

/** How it stands with a task whose attempt failed. */
export type Failure = 'again' | 'ended';

export type BatchTasks = ReturnType<typeof createBatchTasks>;

/** The rules by which tasks of batch jobs are announced, taken, and end: an effect counts once, by its fence. */
export function createBatchTasks(deps: { database: Database; outbox: Outbox; repository: BatchRepository }) {
  const { database, outbox, repository } = deps;

  async function emit(tx: Executor, task: TaskId): Promise<void> {
    const { jobId, kind, position } = task;
    await repository.markEmitted(tx, task);
    await outbox.appendMessage(tx, {
      subject: BATCH_SUBJECT,
      type: 'dev.millrace.job.batch.v1',
      aggregate: 'batch-task',
      aggregateId: jobId,
      data: { jobId, kind, position },
    });
  }

  async function emitWaiting(tx: Executor, jobId: string): Promise<void> {
    const room = WINDOW - (await repository.openTasks(tx, jobId));
    if (room <= 0) return;
    for (const task of await repository.waiting(tx, jobId, room)) await emit(tx, task);
  }

  async function addAssembly(tx: Executor, jobId: string): Promise<void> {
    const task: TaskId = { jobId, kind: 'assemble', position: 0 };
    await repository.addTasks(tx, [task]);
    await emit(tx, task);
  }

  /** Locks the job of a task; undefined when it has ended. */
  async function lockOpen(tx: Executor, jobId: string): Promise<BatchJobRow | undefined> {
    const job = await repository.lock(tx, jobId);
    return job === undefined || isTerminal(job.state) ? undefined : job;
  }

  async function failJob(tx: Executor, task: TaskId, error: WireError): Promise<void> {
    await repository.finish(tx, task.jobId, { state: 'failed', error });
  }

  function exhausted(task: BatchTaskRow, last: WireError | null): WireError {
    const rows =
      task.input === null
        ? task.kind
        : `rows ${task.input.firstRow} to ${task.input.firstRow + task.input.rows - 1}`;
    const why = last === null ? 'the process that ran it ended each time' : `${last.code}: ${last.message}`;
    return {
      code: 'attempts_exhausted',
      message: `All ${ATTEMPTS_MAX} attempts at ${rows} ended without a result; the last: ${why}`,
    };
  }

  return {
    /** Begins a job that was inserted in the same transaction. */
    async begin(tx: Executor, jobId: string): Promise<void> {
      const task: TaskId = { jobId, kind: 'plan', position: 0 };
      await repository.addTasks(tx, [task]);
      await emit(tx, task);
    },

    claim: (task: TaskId): Promise<Claim> =>
      database.transaction<Claim>(async (tx) => {
        const job = await lockOpen(tx, task.jobId);
        if (job === undefined) return { outcome: 'gone' };
        const row = await repository.claim(tx, task, LEASE_MS);
        if (row === undefined) {
          const held = await repository.findTask(tx, task);
          return { outcome: held?.state === 'running' ? 'leased' : 'gone' };
        }
        if (row.attempts > ATTEMPTS_MAX) {
          await failJob(tx, task, exhausted(row, row.error));
          return { outcome: 'gone' };
        }
        await repository.start(tx, job.id);
        const { jobId, kind, position, fence } = row;
        return { outcome: 'claimed', job, task: row, held: { jobId, kind, position, fence } };
      }),

    renew: (held: HeldTask): Promise<boolean> => repository.renew(database.db, held, LEASE_MS),

    /** Keeps chunks that a plan found; those that are known already stay as they are. Throws `fenced`. */
    async addChunks(held: HeldTask, chunks: readonly (ChunkInput & { position: number })[]): Promise<void> {
      await database.transaction(async (tx) => {
        await assertOwned(tx, held);
        const rows = chunks.map(({ position, ...input }) => ({
          jobId: held.jobId,
          kind: 'chunk' as const,
          position,
          input,
        }));
        const added = await repository.addTasks(tx, rows);
        const planned = added.reduce((sum, { input }) => sum + (input?.rows ?? 0), 0);
        await repository.addPlanned(tx, held.jobId, { chunks: added.length, rows: planned });
        await emitWaiting(tx, held.jobId);
      });
    },

    /** Throws `fenced`. */
    async addHead(held: HeldTask, source: number, head: SourceHead): Promise<void> {
      await database.transaction(async (tx) => {
        await assertOwned(tx, held);
        await repository.addHead(tx, held.jobId, source, head);
      });
    },

    completePlan: (held: HeldTask): Promise<void> =>
      database.transaction(async (tx) => {
        if ((await lockOpen(tx, held.jobId)) === undefined || !(await repository.done(tx, held))) return;
        const job = await repository.setPlanned(tx, held.jobId);
        if (job !== undefined && job.chunksDone === job.chunksPlanned) await addAssembly(tx, job.id);
      }),

    completeChunk: (held: HeldTask, result: ChunkResult): Promise<void> =>
      database.transaction(async (tx) => {
        if ((await lockOpen(tx, held.jobId)) === undefined || !(await repository.done(tx, held, result)))
          return;
        const job = await repository.addDone(tx, held.jobId, result);
        if (job?.isPlanned === true && job.chunksDone === job.chunksPlanned) await addAssembly(tx, job.id);
        else await emitWaiting(tx, held.jobId);
      }),

    completeAssembly: (held: HeldTask, result: BatchResult): Promise<void> =>
      database.transaction(async (tx) => {
        if ((await lockOpen(tx, held.jobId)) === undefined || !(await repository.done(tx, held))) return;
        await repository.finish(tx, held.jobId, { state: 'succeeded', result });
      }),

    /** Says what becomes of a task whose attempt failed: it comes again, or its job ends with the error. */
    fail: (held: HeldTask, error: AppError): Promise<Failure> =>
      database.transaction<Failure>(async (tx) => {
        if ((await lockOpen(tx, held.jobId)) === undefined) return 'ended';
        const wire: WireError = { code: error.code, message: error.message };
        if (!error.retryable) {
          if (await repository.done(tx, held)) await failJob(tx, held, wire);
          return 'ended';
        }
        const isAttemptUsed = !PASSING.has(error.code);
        const row = await repository.giveBack(tx, held, { error: wire, isAttemptUsed });
        if (row === undefined) return 'ended';
        if (row.attempts < ATTEMPTS_MAX) return 'again';
        await failJob(tx, held, exhausted(row, wire));
        return 'ended';
      }),

    /** Announces tasks again that lost their process or their message; returns how many. */
    async reconcile(): Promise<number> {
      const stray = await database.transaction(async (tx) => {
        const found = await repository.stray(tx, { reemitAfterMs: REEMIT_MS, limit: STRAY_MAX });
        for (const task of found) if (task.attempts < ATTEMPTS_MAX) await emit(tx, task);
        return found;
      });
      // everywhere else a job is locked before its tasks, so this must not happen while they are locked
      for (const task of stray)
        if (task.attempts >= ATTEMPTS_MAX)
          await database.transaction((tx) => failJob(tx, task, exhausted(task, task.error)));
      return stray.length;
    },
  };

  async function assertOwned(tx: Executor, held: HeldTask): Promise<void> {
    const job = await lockOpen(tx, held.jobId);
    const task = await repository.findTask(tx, held);
    if (job === undefined || task?.state !== 'running' || task.fence !== held.fence)
      throw new AppError('fenced', 'Another attempt owns this task, or its job has ended.');
  }
}
