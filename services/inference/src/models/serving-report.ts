import type { Static } from 'typebox';
import Type from 'typebox';
import { latencyQuantile } from '../engine/latency-counts.ts';
import type { PredictionPublisher } from '../telemetry/prediction-publisher.ts';
import type { LoadedModel, ModelStore } from './model-store.ts';
import { tenantOf } from './served-name.ts';

const LoadedView = Type.Object({
  modelVersionId: Type.String(),
  tenant: Type.String(),
  model: Type.String(),
  version: Type.String(),
  stage: Type.String(),
  state: Type.String({ description: 'ready, restarting or quarantined.' }),
  placement: Type.String({ description: 'inline, or host: in processes of its own.' }),
  placementReason: Type.String(),
  isBatched: Type.Boolean(),
  batchReason: Type.String(),
  rowMs: Type.Number({ description: 'Shortest run of one row, measured at load.' }),
  loadMs: Type.Number(),
  loadedAt: Type.String(),
  residentBytes: Type.Integer(),
  hostPids: Type.Array(Type.Integer()),
  queue: Type.Record(Type.String(), Type.Number()),
  latencyMs: Type.Object(
    { mean: Type.Number(), p50: Type.Number(), p99: Type.Number(), queueMean: Type.Number() },
    {
      description:
        'Of answered requests, from the whole body to the answer; quantiles at most a fifth too high.',
    },
  ),
  latencyCounts: Type.Array(Type.Integer(), {
    description:
      'Answered requests by time: buckets that end at 0.02 ms and at each fourth part of a doubling.',
  }),
});

const FailureView = Type.Object({
  modelVersionId: Type.String(),
  tenant: Type.String(),
  model: Type.String(),
  version: Type.String(),
  code: Type.String(),
  message: Type.String(),
  at: Type.String(),
});

/** What is in memory, how it runs, what failed, and the counts of telemetry. */
export const ServingView = Type.Object({
  models: Type.Array(LoadedView),
  failures: Type.Array(FailureView),
  telemetry: Type.Record(Type.String(), Type.Number(), {
    description: 'recorded = sent + waiting + dropped, since the start of this process.',
  }),
});
export type ServingView = Static<typeof ServingView>;
type LoadedView = Static<typeof LoadedView>;

/** What `/v1/inference/models` shows and does, for the whole server. */
export type ServingReport = {
  view(): Promise<ServingView>;
  /** Drains and frees a version; false when it was not loaded. */
  unload(modelVersionId: string): Promise<boolean>;
};

function latencyOf(counts: readonly number[][], answered: number, answeredMs: number, queueMs: number) {
  const all = addColumns(counts);
  const per = Math.max(1, answered);
  return {
    mean: answeredMs / per,
    p50: latencyQuantile(all, 0.5),
    p99: latencyQuantile(all, 0.99),
    queueMean: queueMs / per,
  };
}

function addColumns(rows: readonly (readonly number[])[]): number[] {
  return (rows[0] ?? []).map((_, i) => rows.reduce((sum, row) => sum + (row[i] ?? 0), 0));
}

function loadedView({ version, served, loadedAt, loadMs }: LoadedModel): LoadedView {
  const { modelVersionId, model, version: label, stage } = version;
  const { runner, measurement, placementReason, queue } = served;
  const totals = queue.totals();
  return {
    modelVersionId,
    tenant: tenantOf(version),
    model,
    version: label,
    stage,
    state: runner.state(),
    placement: runner.placement,
    placementReason,
    isBatched: measurement.isBatched,
    batchReason: measurement.batchReason,
    rowMs: measurement.rowMs,
    loadMs,
    loadedAt: loadedAt.toISOString(),
    residentBytes: runner.residentBytes(),
    hostPids: runner.pids(),
    queue: queue.stats(),
    latencyMs: latencyOf([totals.latencies], totals.answered, totals.answeredMs, totals.queueMs),
    latencyCounts: totals.latencies,
  };
}

/** The report of this process. */
export function createLocalReport(store: ModelStore, publisher: PredictionPublisher): ServingReport {
  return {
    unload: (id) => store.unload(id),
    async view() {
      return {
        models: store.list().map(loadedView),
        failures: store.failures().map(({ version, error, at }) => ({
          modelVersionId: version.modelVersionId,
          tenant: tenantOf(version),
          model: version.model,
          version: version.version,
          code: error.code,
          message: error.message,
          at: at.toISOString(),
        })),
        telemetry: publisher.stats(),
      };
    },
  };
}

/** The worst first: what one process says of a version holds for the server. */
const STATES = ['quarantined', 'restarting', 'closed', 'ready'];

function addUp(parts: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const part of parts) {
    for (const [name, value] of Object.entries(part)) total[name] = (total[name] ?? 0) + value;
  }
  return total;
}

function mergeLatency(views: readonly LoadedView[]): LoadedView['latencyMs'] {
  const answered = (view: LoadedView): number => view.latencyCounts.reduce((sum, count) => sum + count, 0);
  const sum = (what: 'mean' | 'queueMean'): number =>
    views.reduce((total, view) => total + view.latencyMs[what] * answered(view), 0);
  const counts = views.map((view) => view.latencyCounts);
  const all = views.reduce((total, view) => total + answered(view), 0);
  return latencyOf(counts, all, sum('mean'), sum('queueMean'));
}

function mergeLoaded(views: readonly LoadedView[]): LoadedView {
  const [first] = views as [LoadedView, ...LoadedView[]];
  const state = STATES.find((name) => views.some((view) => view.state === name)) ?? first.state;
  return {
    ...first,
    state,
    loadMs: Math.max(...views.map((view) => view.loadMs)),
    residentBytes: views.reduce((sum, view) => sum + view.residentBytes, 0),
    hostPids: views.flatMap((view) => view.hostPids),
    queue: addUp(views.map((view) => view.queue)),
    latencyMs: mergeLatency(views),
    latencyCounts: addColumns(views.map((view) => view.latencyCounts)),
  };
}

/** One report of those of several processes: each version once, numbers added up. */
export function mergeServingViews(views: readonly ServingView[]): ServingView {
  const byId = new Map<string, LoadedView[]>();
  for (const model of views.flatMap(({ models }) => models))
    byId.set(model.modelVersionId, [...(byId.get(model.modelVersionId) ?? []), model]);
  const failures = new Map(views.flatMap((view) => view.failures).map((one) => [one.modelVersionId, one]));
  return {
    models: [...byId.values()].map(mergeLoaded),
    failures: [...failures.values()],
    telemetry: addUp(views.map(({ telemetry }) => telemetry)),
  };
}
