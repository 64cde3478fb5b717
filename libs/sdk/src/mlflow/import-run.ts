import type { ImportState } from './import-state.ts';
import { noteFiles, pieces, recordDigest, translated } from './import-state.ts';
import { copyFiles, runFiles } from './mlflow-files.ts';
import { pagesOf } from './mlflow-server.ts';
import type { MlflowMetric, MlflowRun } from './mlflow-shapes.ts';
import { IMPORTED } from './mlflow-shapes.ts';

/** MLflow's bounds of one batch. */
const BATCH_METRICS = 1_000;
const BATCH_PAIRS = 100;
const HISTORY_PAGE = 25_000;

/** A run at the target that is to become that of the source. */
export type RunCopy = {
  readonly run: MlflowRun;
  readonly id: string;
  readonly artifactUri: string;
  /** As it is at the target now. */
  readonly isDeleted: boolean;
};

/** Makes an empty run with the ids that it had; gives its own. */
export async function createRun(
  { target, uri }: ImportState,
  { info }: MlflowRun,
  experimentId: string,
): Promise<Omit<RunCopy, 'run'>> {
  const { run } = await target.send<{ run: MlflowRun }>('POST', 'runs/create', {
    experiment_id: experimentId,
    user_id: info.user_id ?? '',
    run_name: info.run_name ?? '',
    start_time: info.start_time ?? 0,
    tags: [
      { key: IMPORTED.run, value: info.run_id },
      { key: IMPORTED.experiment, value: info.experiment_id },
      { key: IMPORTED.uri, value: uri },
    ],
  });
  return { id: run.info.run_id, artifactUri: run.info.artifact_uri, isDeleted: false };
}

/**
 * Copies all that a run holds: what is there already is not written twice. The tag with the digest of its record comes
 * last, so a copy that broke off is taken up again.
 */
export async function fillRun(
  state: ImportState,
  { run, id, artifactUri, isDeleted }: RunCopy,
): Promise<void> {
  const { source, target } = state;
  const { info, data, inputs, outputs } = run;
  if (isDeleted) await target.send('POST', 'runs/restore', { run_id: id });
  for (const params of pieces(data.params ?? [], BATCH_PAIRS))
    await target.send('POST', 'runs/log-batch', {
      run_id: id,
      params: params.map(({ key, value = '' }) => ({ key, value })),
    });
  for (const tags of pieces(translated(state, data.tags), BATCH_PAIRS))
    await target.send('POST', 'runs/log-batch', { run_id: id, tags });
  for (const { key } of data.metrics ?? [])
    for await (const entries of histories(state, info.run_id, key)) await logMetrics(state, id, entries);

  const models = (list: readonly { model_id: string; step?: number }[] = []) =>
    list.flatMap((model) => {
      const known = state.loggedModelIds.get(model.model_id);
      return known === undefined ? [] : [{ ...model, model_id: known }];
    });
  const datasets = inputs?.dataset_inputs ?? [];
  const read = models(inputs?.model_inputs);
  if (datasets.length + read.length > 0)
    await target.send('POST', 'runs/log-inputs', { run_id: id, datasets, models: read });
  const made = models(outputs?.model_outputs);
  if (made.length > 0) await target.send('POST', 'runs/outputs', { run_id: id, models: made });

  const files = await copyFiles(runFiles(source, info.run_id, info.artifact_uri), target, artifactUri);
  noteFiles(state, `run ${info.run_id}`, artifactUri, files);

  await target.send('POST', 'runs/update', {
    run_id: id,
    status: info.status,
    ...(info.end_time === undefined ? {} : { end_time: info.end_time }),
    ...(info.run_name === undefined ? {} : { run_name: info.run_name }),
  });
  const done = { key: IMPORTED.state, value: recordDigest(run) };
  // what is missing is asked for again by the next import
  if (files.missing.length === 0) await target.send('POST', 'runs/set-tag', { run_id: id, ...done });
  if (info.lifecycle_stage === 'deleted') await target.send('POST', 'runs/delete', { run_id: id });
}

function histories(
  { source }: ImportState,
  runId: string,
  key: string,
): AsyncGenerator<readonly MlflowMetric[]> {
  return pagesOf(async (token) => {
    const { metrics, next_page_token: next } = await source.get<{
      metrics?: MlflowMetric[];
      next_page_token?: string;
    }>('metrics/get-history', {
      run_id: runId,
      run_uuid: runId,
      metric_key: key,
      max_results: HISTORY_PAGE,
      page_token: token,
    });
    return { items: metrics, next };
  });
}

/** Logs entries of metrics; with a model they are that model's too. */
export async function logMetrics(
  { target, report }: ImportState,
  runId: string,
  entries: readonly MlflowMetric[],
  modelId?: string,
): Promise<void> {
  for (const metrics of pieces(entries, BATCH_METRICS)) {
    const plain = metrics.map(({ key, value, timestamp, step = 0, dataset_name, dataset_digest }) => ({
      key,
      value,
      timestamp,
      step,
      ...(modelId === undefined ? {} : { model_id: modelId, dataset_name, dataset_digest }),
    }));
    await target.send('POST', 'runs/log-batch', { run_id: runId, metrics: plain });
    if (modelId === undefined) report.metricEntries += plain.length;
  }
}
