import type { Bus } from '@millrace/bus';

/** Tells the worker of a running job at once that it is to stop; a worker that misses it learns by its heartbeat. */
export function cancelHint(bus: Bus): (jobId: string) => void {
  return (jobId) => bus.nc.publish(`millrace.ctl.job.${jobId}.cancel`);
}
