import type { InferLane } from '@millrace/bus';
import type { Metrics } from '@millrace/service-kit';

/** Counts what became of requests of the stream; a request that was tried twice and then answered counts in both. */
export type JobMetrics = {
  count(lane: InferLane, outcome: 'answered' | 'refused' | 'retried' | 'dead'): void;
};

export function createJobMetrics(metrics: Metrics): JobMetrics {
  const jobs = metrics.counter({
    name: 'jobs_total',
    help: 'Asynchronous requests by what became of them.',
    labels: ['lane', 'outcome'],
  });
  return { count: (lane, outcome) => jobs.inc({ lane, outcome }) };
}
