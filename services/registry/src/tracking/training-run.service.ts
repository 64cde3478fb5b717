import type { JobResult, TrainSpec, WireError } from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import type { ExperimentRepository } from './experiment.repository.ts';
import { artifactLocationOf } from './experiment.service.ts';
import type { ExperimentRow } from './experiment.table.ts';
import type { LogFault, LogRequest, MetricEntry, Pair } from './log-writer.ts';
import { cutTo, PARAM_LENGTH_MAX, RUN_NAME_TAG, runIdOf, TAG_LENGTH_MAX } from './names.ts';
import type { RunRepository } from './run.repository.ts';
import type { RunRow, RunStatus } from './run.table.ts';
import { randomRunName } from './run-name.ts';

/** What a user would look for as the author; no client can have it, for theirs are principals. */
const USER = 'millrace';
/** Epochs whose metrics are kept; a recipe's own bound is lower. */
const EPOCHS_MAX = 10_000;

/** A training job as its facts tell of it. */
export type Training = {
  readonly jobId: string;
  readonly tenant: string;
  readonly spec: Record<string, unknown>;
};
export type TrainingRunService = ReturnType<typeof createTrainingRunService>;

/**
 * Shows trainings of the platform as runs: the experiment is the recipe's, the run has the id of the job. Facts may
 * come in any order and again; each makes the run if need be, and an end is final.
 */
export function createTrainingRunService(deps: {
  experiments: ExperimentRepository;
  runs: RunRepository;
  writeIn(tx: Executor, requests: readonly LogRequest[]): Promise<LogFault[]>;
  nowMs?: () => number;
}) {
  const { experiments, runs, writeIn, nowMs = Date.now } = deps;

  async function experimentOf(tx: Executor, tenant: string, name: string): Promise<ExperimentRow> {
    const values = { tenant, name, artifactLocation: null, createdMs: nowMs() };
    const row =
      (await experiments.findByName(tx, tenant, name)) ??
      (await experiments.insert(tx, values)) ??
      (await experiments.findByName(tx, tenant, name));
    if (row === undefined) throw new Error('An experiment vanished while it was made.');
    return row;
  }

  async function ensure(tx: Executor, { jobId, tenant, spec }: Training): Promise<void> {
    const { recipe, params, dataset } = spec as Partial<TrainSpec>;
    const experiment = await experimentOf(tx, tenant, recipe ?? 'training');
    const name = randomRunName();
    const row: RunRow = {
      id: jobId,
      tenant,
      experimentId: experiment.id,
      name,
      userId: USER,
      status: 'SCHEDULED',
      startMs: nowMs(),
      endMs: null,
      lifecycleStage: experiment.lifecycleStage,
      artifactUri: `${artifactLocationOf(experiment)}/${runIdOf(jobId)}/artifacts`,
    };
    if (!(await runs.insertOnce(tx, row))) return;
    const tags = [
      { key: RUN_NAME_TAG, value: name },
      { key: 'mlflow.user', value: USER },
      { key: 'mlflow.source.type', value: 'JOB' },
      { key: 'mlflow.source.name', value: recipe ?? '' },
      { key: 'millrace.trainingJob', value: jobId },
      { key: 'millrace.datasetVersion', value: dataset?.versionId ?? '' },
      { key: 'millrace.datasetDigest', value: dataset?.digest ?? '' },
    ];
    await runs.insertTags(tx, row, tags);
    await log(tx, row, { params: pairsOf(params ?? {}) });
  }

  /** A training whose run somebody deleted goes on unseen. */
  async function log(
    tx: Executor,
    { id, tenant }: { id: string; tenant: string },
    entries: Partial<Pick<LogRequest, 'metrics' | 'params' | 'tags'>>,
  ): Promise<void> {
    await writeIn(tx, [{ tenant, runId: id, metrics: [], params: [], tags: [], ...entries }]);
  }

  async function end(tx: Executor, training: Training, status: RunStatus): Promise<void> {
    await ensure(tx, training);
    await runs.advance(tx, training.jobId, { status, endMs: nowMs() });
  }

  return {
    onCreated: ensure,

    async onStarted(tx: Executor, jobId: string): Promise<void> {
      // the fact has no spec: a run that is not there yet gets its state from the next one
      await runs.advance(tx, jobId, { status: 'RUNNING' });
    },

    async onSucceeded(tx: Executor, training: Training, { meta }: JobResult): Promise<void> {
      await end(tx, training, 'FINISHED');
      const metrics = metricsOf(meta, nowMs());
      await log(tx, { id: training.jobId, tenant: training.tenant }, { metrics });
    },

    async onFailed(tx: Executor, training: Training, error: WireError): Promise<void> {
      await end(tx, training, 'FAILED');
      const value = cutTo(`${error.code}: ${error.message}`, TAG_LENGTH_MAX);
      const tags = [{ key: 'millrace.error', value }];
      await log(tx, { id: training.jobId, tenant: training.tenant }, { tags });
    },

    onCancelled: (tx: Executor, training: Training) => end(tx, training, 'KILLED'),
  };
}

const pairsOf = (params: Record<string, unknown>): Pair[] =>
  Object.entries(params).map(([key, value]) => ({
    key,
    value: cutTo(typeof value === 'string' ? value : JSON.stringify(value), PARAM_LENGTH_MAX),
  }));

/** The metrics of each epoch, and what was measured at the end. */
function metricsOf(meta: Record<string, unknown>, timestampMs: number): MetricEntry[] {
  const epochs = Array.isArray(meta.history) ? meta.history.slice(0, EPOCHS_MAX) : [];
  const steps = epochs.flatMap((epoch: unknown, index) => numbersOf(epoch, '', index + 1, timestampMs));
  const { evaluation, usage } = meta;
  return [
    ...steps,
    ...numbersOf(evaluation, 'evaluation.', epochs.length, timestampMs),
    ...numbersOf(usage, 'usage.', epochs.length, timestampMs),
  ];
}

function numbersOf(value: unknown, prefix: string, step: number, timestampMs: number): MetricEntry[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, number]) =>
    typeof number === 'number' ? [{ key: prefix + name, value: number, timestampMs, step }] : [],
  );
}
