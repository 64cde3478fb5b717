import type { JobView } from '@millrace/contracts';
import type { JobRow } from './job.table.ts';

/** Whether somebody is there to take a pool's jobs. */
export type PoolState =
  /** A worker of it announced itself lately. */
  | 'alive'
  /** None did, but job or service are so new that one may be starting. */
  | 'awaited'
  /** None did although there was time. */
  | 'absent';

function waiting(pool: string, state: PoolState): string {
  switch (state) {
    case 'alive':
      return `Waits for a free worker of pool ${pool}.`;
    case 'awaited':
      return `Waits for a worker of pool ${pool}; none has announced itself yet.`;
    case 'absent':
      return `Waits: no worker of pool ${pool} is alive; start one, or submit to another pool.`;
  }
}

function statusOf(job: JobRow, pool: PoolState): string {
  switch (job.state) {
    case 'queued': {
      const again =
        job.error === null ? '' : ` The last attempt ended with ${job.error.code}: ${job.error.message}`;
      return `${waiting(job.pool, pool)}${again}`;
    }
    case 'running': {
      if (job.progress === null) return `Attempt ${job.attempts} runs on ${job.leaseOwner ?? 'a worker'}.`;
      const { stage, epoch, epochs } = job.progress;
      // work without epochs reports none, or zero of zero
      const at = epoch === undefined || !epochs ? '' : `, epoch ${epoch} of ${epochs}`;
      return `Attempt ${job.attempts}: ${stage}${at}.`;
    }
    case 'cancelling':
      return 'Its worker was told to stop.';
    case 'succeeded':
      return job.attempts === 1 ? 'Succeeded.' : `Succeeded at attempt ${job.attempts}.`;
    case 'failed':
    case 'cancelled':
      return job.error?.message ?? `The job ${job.state}.`;
  }
}

/** A job as it is shown; the state of its pool tells what a queued one waits for. */
export function toJobView(job: JobRow, pool: PoolState): JobView {
  return {
    id: job.id,
    kind: job.kind,
    pool: job.pool,
    state: job.state,
    status: statusOf(job, pool),
    spec: job.spec,
    attempt: job.attempts,
    maxAttempts: job.maxAttempts,
    fence: job.fence,
    workerId: job.leaseOwner,
    progress: job.progress,
    result: job.result,
    error: job.error,
    createdAt: job.createdAt.toISOString(),
    startedAt: job.startedAt?.toISOString() ?? null,
    finishedAt: job.finishedAt?.toISOString() ?? null,
  };
}
