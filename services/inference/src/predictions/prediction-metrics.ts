import type { ResolvedVersion } from '@millrace/contracts';
import { isAppError } from '@millrace/contracts';
import type { Metrics, Series } from '@millrace/service-kit';
import type { QueueAnswer } from '../engine/request-queue.ts';
import type { ModelStore } from '../models/model-store.ts';
import { servedNameOf } from '../models/served-name.ts';
import type { PredictionPublisher } from '../telemetry/prediction-publisher.ts';

const ROW_BUCKETS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
const LABELS = ['model', 'version'] as const;
/**
 * Versions that have series of their own, besides those in memory. A node on which thousands of models take turns would
 * otherwise gather some 70 series a version for good.
 */
export const IDLE_VERSIONS_MAX = 256;
/** Series of one model and version are found by these. */
type Labels = { model: string; version: string };
type OfVersion = {
  labels: Labels;
  request: Series;
  queue: Series;
  compute: Series;
  rows: Series;
  codes: Set<string>;
  isRemoved: boolean;
};

export type PredictionMetrics = {
  observe(version: ResolvedVersion, answer: QueueAnswer, latencyMs: number): void;
  /** An answer that the cache gave. */
  observeHit(version: ResolvedVersion, latencyMs: number): void;
  fail(version: ResolvedVersion, error: unknown): void;
};

/**
 * Prometheus series of predictions: request, queue and compute time, rows of a run, queue depth and memory. The series of
 * versions that left memory longest ago go first; they count from 0 when the version comes back.
 */
export function createPredictionMetrics(
  metrics: Metrics,
  store: ModelStore,
  publisher: PredictionPublisher,
): PredictionMetrics {
  const request = metrics.series({
    name: 'request_seconds',
    help: 'Body complete to answer.',
    labels: LABELS,
  });
  const queue = metrics.series({ name: 'queue_seconds', help: 'Wait for the model.', labels: LABELS });
  const compute = metrics.series({ name: 'compute_seconds', help: 'Time of the run.', labels: LABELS });
  const rows = metrics.series({
    name: 'run_rows',
    help: 'Rows joined in a run.',
    labels: LABELS,
    buckets: ROW_BUCKETS,
  });
  const failures = metrics.counter({
    name: 'failures_total',
    help: 'Predictions that ended with an error, by code.',
    labels: [...LABELS, 'code'],
  });
  /** By id, in the order of their first requests. */
  const versions = new Map<string, OfVersion>();
  const held = new WeakMap<ResolvedVersion, OfVersion>();

  function create(resolved: ResolvedVersion): OfVersion {
    const labels = { model: servedNameOf(resolved), version: resolved.version };
    return {
      labels,
      request: request(labels),
      queue: queue(labels),
      compute: compute(labels),
      rows: rows(labels),
      codes: new Set(),
      isRemoved: false,
    };
  }

  function makeRoom(): void {
    const loaded = new Set(store.list().map(({ version }) => version.modelVersionId));
    const idle = [...versions].filter(([id]) => !loaded.has(id));
    for (const [id, own] of idle.slice(0, Math.max(0, idle.length - IDLE_VERSIONS_MAX))) {
      for (const family of [request, queue, compute, rows]) family.remove(own.labels);
      for (const code of own.codes) failures.remove({ ...own.labels, code });
      own.isRemoved = true;
      versions.delete(id);
    }
  }

  function seriesOf(resolved: ResolvedVersion): OfVersion {
    const known = held.get(resolved);
    if (known?.isRemoved === false) return known;
    const id = resolved.modelVersionId;
    if (!versions.has(id) && versions.size >= IDLE_VERSIONS_MAX) makeRoom();
    const own = versions.get(id) ?? create(resolved);
    versions.set(id, own);
    held.set(resolved, own);
    return own;
  }

  const each =
    (read: (model: ReturnType<ModelStore['list']>[number]) => number) =>
    (gauge: { reset(): void; set(labels: Labels, value: number): void }): void => {
      gauge.reset();
      for (const model of store.list()) {
        gauge.set({ model: servedNameOf(model.version), version: model.version.version }, read(model));
      }
    };
  metrics.gauge({
    name: 'queue_requests',
    help: 'Requests that wait for the model now.',
    labels: LABELS,
    collect: each(({ served }) => served.queue.stats().depth),
  });
  metrics.gauge({
    name: 'model_resident_bytes',
    help: 'Measured memory of the model.',
    labels: LABELS,
    collect: each(({ served }) => served.runner.residentBytes()),
  });
  metrics.gauge({
    name: 'telemetry_predictions',
    help: 'Predictions for the bus since the start: recorded = sent + waiting + dropped; recovered are of processes that ended before.',
    labels: ['state'],
    collect(gauge) {
      const { recorded, sent, waiting, dropped, recovered } = publisher.stats();
      for (const [state, value] of Object.entries({ recorded, sent, waiting, dropped, recovered }))
        gauge.set({ state }, value);
    },
  });
  return {
    observe(version, answer, latencyMs) {
      const series = seriesOf(version);
      series.request.observe(latencyMs / 1000);
      series.queue.observe(answer.queueMs / 1000);
      series.compute.observe(answer.computeMs / 1000);
      series.rows.observe(answer.joinedRows);
    },
    observeHit(version, latencyMs) {
      seriesOf(version).request.observe(latencyMs / 1000);
    },
    fail(version, error) {
      const { labels, codes } = seriesOf(version);
      const code = isAppError(error) ? error.code : 'internal';
      codes.add(code);
      failures.inc({ ...labels, code });
    },
  };
}
