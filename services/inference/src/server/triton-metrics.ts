import type { Metrics } from '@millrace/service-kit';
import type { RunTotals } from '../engine/run-statistics.ts';
import type { LoadedModel, ModelStore } from '../models/model-store.ts';
import { servedNameOf } from '../models/served-name.ts';

const PREFIX = 'nv_inference_';
const LABELS = ['model', 'version'] as const;
const US_PER_MS = 1_000;

/** Counters by the name that Triton gives them, with their meaning and where they are read. */
const COUNTERS: readonly [name: string, help: string, read: (totals: Readonly<RunTotals>) => number][] = [
  ['request_success', 'Requests answered.', (totals) => totals.answered],
  ['count', 'Rows answered.', (totals) => totals.rows],
  ['exec_count', 'Runs of the model.', (totals) => totals.runs],
  ['request_duration_us', 'Body complete to answer.', (totals) => totals.answeredMs * US_PER_MS],
  ['queue_duration_us', 'Wait for the model.', (totals) => totals.queueMs * US_PER_MS],
  ['compute_input_duration_us', 'Inputs made ready.', (totals) => totals.inputMs * US_PER_MS],
  ['compute_infer_duration_us', 'Time of the runs.', (totals) => totals.computeMs * US_PER_MS],
  ['compute_output_duration_us', 'Outputs handed out.', (totals) => totals.outputMs * US_PER_MS],
];

const labelsOf = ({ version }: LoadedModel) => ({
  model: servedNameOf(version),
  version: String(version.ordinal),
});

/**
 * The series that dashboards and scaling rules made for Triton ask for, of the versions in memory: as there, a version
 * that is unloaded takes its series with it.
 */
export function addTritonMetrics(metrics: Metrics, store: ModelStore): void {
  for (const [name, help, read] of COUNTERS) {
    metrics.counter({
      prefix: PREFIX,
      name,
      help,
      labels: LABELS,
      collect(counter) {
        counter.reset();
        for (const model of store.list())
          counter.inc(labelsOf(model), Math.round(read(model.served.queue.totals())));
      },
    });
  }
  metrics.counter({
    prefix: PREFIX,
    name: 'request_failure',
    help: 'Requests that got an error, by reason.',
    labels: [...LABELS, 'reason'],
    collect(counter) {
      counter.reset();
      for (const model of store.list()) {
        for (const [reason, count] of Object.entries(model.served.queue.totals().failures))
          counter.inc({ ...labelsOf(model), reason }, count);
      }
    },
  });
  metrics.gauge({
    prefix: PREFIX,
    name: 'pending_request_count',
    help: 'Requests that wait for the model.',
    labels: LABELS,
    collect(gauge) {
      gauge.reset();
      for (const model of store.list()) gauge.set(labelsOf(model), model.served.queue.stats().depth);
    },
  });
}
