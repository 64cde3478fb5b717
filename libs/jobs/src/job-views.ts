import type { JobView } from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import type { JobRepository } from './job.repository.ts';
import type { JobRow } from './job.table.ts';
import type { PoolState } from './job.view.ts';
import { toJobView } from './job.view.ts';

/**
 * Shows jobs with what they wait for. Right after a start, or where a pool grows with its queue, no worker is no fault
 * yet: nobody is told to start one before `workerGraceMs` have passed since the service began (which is now) and
 * since the job was submitted.
 */
export function createJobViews(repository: JobRepository, db: Executor, workerGraceMs: number) {
  const startedMs = performance.now();

  /** Looks at the pools once; the function it gives shows any number of jobs. */
  async function viewer(): Promise<(job: JobRow) => JobView> {
    const { now, pools } = await repository.livePools(db);
    const isServiceNew = performance.now() - startedMs < workerGraceMs;
    const stateOf = (job: JobRow): PoolState => {
      if (pools.has(job.pool)) return 'alive';
      return isServiceNew || now - job.createdAt.getTime() < workerGraceMs ? 'awaited' : 'absent';
    };
    return (job) => toJobView(job, stateOf(job));
  }

  return { viewer, view: async (job: JobRow): Promise<JobView> => (await viewer())(job) };
}
