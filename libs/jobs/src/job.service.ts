import type {
  Checkpoint,
  ClaimReply,
  FenceReply,
  JobProgress,
  JobResult,
  WireError,
} from '@millrace/contracts';
import { AppError, errorCatalog, isErrorCode, isTerminal, newId } from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import type { JobRepository } from './job.repository.ts';
import { createJobRepository } from './job.repository.ts';
import type { JobRow } from './job.table.ts';
import { createFailureFacts } from './job-failure.ts';
import type { JobServiceOptions, JobSettings, NewJob } from './job-options.ts';
import { defaultJobSettings } from './job-options.ts';
import { assertJobRoom } from './job-records.ts';
import { createJobViews } from './job-views.ts';
import { specDigest } from './spec-digest.ts';

/** Results must fit into an event with the job's spec (bytes of JSON). */
const MAX_RESULT_BYTES = 40_000;
const LEASED_RETRY_MAX_MS = 15_000;

export type JobService = ReturnType<typeof createJobService>;

/** The rules of jobs: creation, the fenced worker protocol, cancel, reconciliation. */
export function createJobService(options: JobServiceOptions) {
  const { service, kind, events, database, outbox, hooks = {} } = options;
  const settings: JobSettings = { ...defaultJobSettings, ...options.settings };
  const jobs: JobRepository = createJobRepository(options.tables);
  const failure = createFailureFacts(options);
  const FENCED: FenceReply = { outcome: 'fenced' };
  const OK: FenceReply = { outcome: 'ok' };
  const CANCEL: FenceReply = { outcome: 'cancel' };

  /** Puts a pointer to the job into the outbox, for the queue of its pool. */
  async function emit(tx: Executor, job: JobRow): Promise<void> {
    await outbox.appendMessage(tx, {
      subject: `millrace.job.${kind}.${job.pool}`,
      type: `dev.millrace.job.${kind}.v1`,
      aggregate: `${kind}-pointer`,
      aggregateId: job.id,
      data: { jobId: job.id, kind, service, pool: job.pool },
    });
  }

  async function create(tx: Executor, request: NewJob): Promise<{ job: JobRow; isNew: boolean }> {
    const { tenant } = request;
    const specSha256 = specDigest(request.spec);
    const row = await jobs.insert(tx, {
      id: request.id ?? newId(),
      kind,
      pool: request.pool,
      tenant,
      spec: request.spec,
      specSha256,
      maxAttempts: settings.maxAttempts,
      idempotencyKey: request.idempotencyKey ?? null,
      retryOf: request.retryOf ?? null,
    });
    if (row === undefined) {
      const existing =
        request.idempotencyKey === undefined
          ? await jobs.find(tx, request.id ?? '')
          : await jobs.findByIdempotencyKey(tx, tenant, request.idempotencyKey);
      if (existing === undefined) throw new AppError('internal', 'A job was refused without a reason.');
      if (existing.specSha256 !== specSha256) {
        throw new AppError(
          'idempotency_mismatch',
          'This Idempotency-Key was used with another body; send a new key.',
        );
      }
      return { job: existing, isNew: false };
    }
    await outbox.append(
      tx,
      events.created,
      row.id,
      { jobId: row.id, kind, pool: row.pool, spec: row.spec },
      { tenant },
    );
    await emit(tx, row);
    return { job: row, isNew: true };
  }

  async function fail(tx: Executor, job: JobRow, error: WireError): Promise<void> {
    const row = await jobs.finish(tx, job.id, { state: 'failed', error });
    if (row === undefined) return;
    await failure.failed(tx, job, error);
    await hooks.onFailed?.(tx, row, error);
  }

  async function markCancelled(tx: Executor, job: JobRow): Promise<void> {
    const row = await jobs.finish(tx, job.id, {
      state: 'cancelled',
      error: { code: 'job_cancelled', message: 'The job was cancelled.' },
    });
    if (row === undefined) return;
    await outbox.append(
      tx,
      events.cancelled,
      job.id,
      { jobId: job.id, kind, spec: job.spec },
      { tenant: job.tenant },
    );
    await hooks.onCancelled?.(tx, row);
  }

  function exhausted(job: JobRow): WireError {
    const last =
      job.error === null
        ? 'its workers went away without a report'
        : `${job.error.code}: ${job.error.message}`;
    return {
      code: 'attempts_exhausted',
      message: `All ${job.maxAttempts} attempts ended without a result; the last: ${last}`,
    };
  }

  /** Locks a job and checks that the caller's fence still owns it; undefined when it does not. */
  async function lockOwned(tx: Executor, jobId: string, fence: number): Promise<JobRow | undefined> {
    const job = await jobs.lock(tx, jobId);
    return job !== undefined && job.fence === fence && (job.state === 'running' || job.state === 'cancelling')
      ? job
      : undefined;
  }

  return {
    service,
    kind,
    settings,
    repository: jobs,
    create,
    ...createJobViews(jobs, database.db, settings.workerGraceMs),

    /** Creates a job in a transaction of its own. @throws AppError `quota_reached`, `idempotency_mismatch` */
    submit: (request: NewJob) =>
      database.transaction(async (tx) => {
        const created = await create(tx, request);
        if (created.isNew) await assertJobRoom(tx, options, created.job.tenant);
        return created;
      }),

    /** Where a tenant is named, the jobs of others are not there. @throws AppError `job_not_found` */
    async get(jobId: string, tenant?: string): Promise<JobRow> {
      const job = await jobs.find(database.db, jobId);
      if (job === undefined || (tenant !== undefined && job.tenant !== tenant))
        throw new AppError('job_not_found', `There is no ${kind} job ${jobId}.`);
      return job;
    },

    async claim(jobId: string, workerId: string): Promise<ClaimReply> {
      const reply = await database.transaction<ClaimReply>(async (tx) => {
        const row = await jobs.claim(tx, jobId, workerId, settings.leaseMs);
        if (row === undefined) return refuseClaim(tx, jobId);
        await outbox.append(
          tx,
          events.started,
          jobId,
          {
            jobId,
            kind,
            attempt: row.attempts,
            fence: row.fence,
            workerId,
            spec: row.spec,
          },
          { tenant: row.tenant },
        );
        return {
          outcome: 'claimed',
          job: {
            jobId,
            kind,
            fence: row.fence,
            attempt: row.attempts,
            spec: row.spec,
            lastCheckpoint: row.lastCheckpoint,
            leaseMs: settings.leaseMs,
            heartbeatMs: settings.heartbeatMs,
            stallTimeoutMs: settings.stallTimeoutMs,
            checkpointPrefix: checkpointPrefix(jobId, row.fence),
          },
        };
      });
      if (reply.outcome === 'claimed') options.onAlive?.(jobId);
      return reply;
    },

    async renew(call: {
      jobId: string;
      fence: number;
      step: number;
      progress?: JobProgress;
    }): Promise<FenceReply> {
      const row = await database.transaction((tx) => jobs.renew(tx, call, settings.leaseMs));
      if (row === undefined) return FENCED;
      options.onAlive?.(call.jobId);
      return row.state === 'cancelling' ? CANCEL : OK;
    },

    async checkpoint(call: {
      jobId: string;
      fence: number;
      step: number;
      files: Checkpoint['files'];
    }): Promise<FenceReply> {
      const prefix = checkpointPrefix(call.jobId, call.fence);
      const foreign = call.files.find((file) => !file.key.startsWith(prefix) || file.key.includes('..'));
      if (foreign !== undefined) {
        throw new AppError('key_not_allowed', `Checkpoint files of this attempt belong under ${prefix}.`);
      }
      const checkpoint: Checkpoint = { step: call.step, fence: call.fence, files: call.files };
      const row = await database.transaction((tx) =>
        jobs.setCheckpoint(tx, call.jobId, call.fence, checkpoint, settings.leaseMs),
      );
      if (row === undefined) return FENCED;
      return row.state === 'cancelling' ? CANCEL : OK;
    },

    complete(call: { jobId: string; fence: number; result: JobResult }): Promise<FenceReply> {
      const sizeBytes = Buffer.byteLength(JSON.stringify(call.result));
      if (sizeBytes > MAX_RESULT_BYTES) {
        throw new AppError(
          'payload_too_large',
          `The result has ${sizeBytes} bytes of JSON, over ${MAX_RESULT_BYTES}; store large parts as files.`,
        );
      }
      return database.transaction(async (tx) => {
        const job = await lockOwned(tx, call.jobId, call.fence);
        if (job === undefined) {
          // the same attempt asks again because the first answer was lost
          const ended = await jobs.find(tx, call.jobId);
          return ended?.state === 'succeeded' && ended.fence === call.fence ? OK : FENCED;
        }
        const row = await jobs.finish(tx, job.id, { state: 'succeeded', result: call.result });
        if (row === undefined) return FENCED;
        await outbox.append(
          tx,
          events.succeeded,
          job.id,
          {
            jobId: job.id,
            kind,
            attempt: job.attempts,
            fence: job.fence,
            spec: job.spec,
            result: call.result,
          },
          { tenant: job.tenant },
        );
        await hooks.onSucceeded?.(tx, row, call.result);
        return OK;
      });
    },

    fail(call: { jobId: string; fence: number; error: WireError }): Promise<FenceReply> {
      return database.transaction(async (tx) => {
        const job = await lockOwned(tx, call.jobId, call.fence);
        if (job === undefined) return FENCED;
        await failure.refused(tx, job, call.error);
        const isRetryable =
          call.error.retryable ?? (isErrorCode(call.error.code) && errorCatalog[call.error.code].retryable);
        if (job.state === 'cancelling') await markCancelled(tx, job);
        else if (!isRetryable) await fail(tx, job, call.error);
        else if (job.attempts >= job.maxAttempts)
          await fail(tx, job, exhausted({ ...job, error: call.error }));
        else {
          const row = await jobs.requeue(tx, job.id, { isAttemptUsed: true, error: call.error });
          if (row !== undefined) await emit(tx, row);
        }
        return OK;
      });
    },

    cancelled(call: { jobId: string; fence: number }): Promise<FenceReply> {
      return database.transaction(async (tx) => {
        const job = await lockOwned(tx, call.jobId, call.fence);
        if (job === undefined || job.state !== 'cancelling') return FENCED;
        await markCancelled(tx, job);
        return OK;
      });
    },

    /** A worker that is stopping gives its job back; another takes it from the last checkpoint at once. */
    release(call: { jobId: string; fence: number }): Promise<FenceReply> {
      return database.transaction(async (tx) => {
        const job = await lockOwned(tx, call.jobId, call.fence);
        if (job === undefined) return FENCED;
        if (job.state === 'cancelling') await markCancelled(tx, job);
        else {
          const row = await jobs.requeue(tx, job.id, { isAttemptUsed: false });
          if (row !== undefined) await emit(tx, row);
        }
        return OK;
      });
    },

    /** Cancels a job; one that is cancelled already stays so. @throws AppError `job_not_found`, `job_not_cancellable` */
    async cancel(jobId: string): Promise<JobRow> {
      const job = await database.transaction((tx) => cancelIn(tx, jobId));
      if (job.state === 'cancelling') options.hintCancel?.(jobId);
      return job;
    },

    cancelIn,

    /** A new job with the spec of one that failed or was cancelled. */
    async retry(tx: Executor, jobId: string): Promise<JobRow> {
      const job = await jobs.find(tx, jobId);
      if (job === undefined) throw new AppError('job_not_found', `There is no ${kind} job ${jobId}.`);
      const retried = await create(tx, {
        spec: job.spec,
        pool: job.pool,
        tenant: job.tenant,
        retryOf: jobId,
      });
      return retried.job;
    },

    /** Treats jobs that lost their worker or their message; returns how many. Makes the NATS store disposable. */
    reconcile(): Promise<number> {
      return database.transaction(async (tx) => {
        const stray = await jobs.findStray(tx, { reemitAfterMs: settings.reemitAfterMs, limit: 100 });
        for (const job of stray) {
          if (job.state === 'cancelling') await markCancelled(tx, job);
          else if (job.attempts >= job.maxAttempts) await fail(tx, job, exhausted(job));
          else {
            const row =
              job.state === 'running' ? await jobs.requeue(tx, job.id, { isAttemptUsed: true }) : job;
            if (row !== undefined) {
              await emit(tx, row);
              await jobs.markEmitted(tx, row.id);
            }
          }
        }
        return stray.length;
      });
    },
  };

  async function cancelIn(tx: Executor, jobId: string): Promise<JobRow> {
    const job = await jobs.lock(tx, jobId);
    if (job === undefined) throw new AppError('job_not_found', `There is no ${kind} job ${jobId}.`);
    if (job.state === 'cancelled' || job.state === 'cancelling') return job;
    if (isTerminal(job.state)) throw new AppError('job_not_cancellable', `The job has already ${job.state}.`);
    if (job.state === 'queued') {
      await markCancelled(tx, job);
      return (await jobs.find(tx, jobId)) ?? job;
    }
    return (await jobs.setCancelling(tx, jobId)) ?? job;
  }

  async function refuseClaim(tx: Executor, jobId: string): Promise<ClaimReply> {
    const job = await jobs.lock(tx, jobId);
    if (job === undefined || isTerminal(job.state)) return { outcome: 'terminal' };
    const leaseLeftMs = job.leaseUntil === null ? 0 : await jobs.leaseLeftMs(tx, jobId);
    if (leaseLeftMs > 0) {
      return { outcome: 'leased', retryAfterMs: Math.min(LEASED_RETRY_MAX_MS, leaseLeftMs + 100) };
    }
    // nobody holds it and it may not be claimed: it is being cancelled, or its attempts are used up
    if (job.state === 'cancelling') await markCancelled(tx, job);
    else if (job.attempts >= job.maxAttempts) await fail(tx, job, exhausted(job));
    else return { outcome: 'leased', retryAfterMs: 200 };
    return { outcome: 'terminal' };
  }
}

/** Where an attempt may put its checkpoints. */
export function checkpointPrefix(jobId: string, fence: number): string {
  return `jobs/${jobId}/f${fence}/`;
}
