import type { JobView } from '@millrace/contracts';
import { isTerminal } from '@millrace/contracts';
import type { JobRow } from './job.table.ts';

function statusOf(job: JobRow, isPoolAlive: boolean): string {
  switch (job.state) {
    case 'queued': {
      const again =
        job.error === null ? '' : ` The last attempt ended with ${job.error.code}: ${job.error.message}`;
      return isPoolAlive
        ? `Waits for a free worker of pool ${job.pool}.${again}`
        : `Waits: no worker of pool ${job.pool} is alive; start one, or submit to another pool.${again}`;
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

/** A job as it is shown; `isPoolAlive` says whether any worker of its pool announced itself lately. */
export function toJobView(job: JobRow, isPoolAlive: boolean): JobView {
  return {
    id: job.id,
    kind: job.kind,
    pool: job.pool,
    state: job.state,
    status: statusOf(job, isPoolAlive || isTerminal(job.state)),
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
