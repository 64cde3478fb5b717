import { doubleJson } from '../mlflow/proto-json.ts';
import type { MetricEntry } from './log-writer.ts';
import { runIdOf } from './names.ts';
import type { FoundRun } from './run.repository.ts';

/** A metric on the wire. */
export type MetricView = { key: string; value: number | string; timestamp: number; step: number };

export type RunInfoView = {
  run_id: string;
  run_uuid: string;
  run_name: string;
  experiment_id: string;
  user_id: string;
  status: string;
  start_time: number;
  end_time?: number;
  artifact_uri: string;
  lifecycle_stage: string;
};

export function runInfoView(run: FoundRun): RunInfoView {
  const runId = runIdOf(run.id);
  return {
    run_id: runId,
    run_uuid: runId,
    run_name: run.name,
    experiment_id: run.isInDefault ? '0' : String(run.experimentId),
    user_id: run.userId,
    status: run.status,
    start_time: run.startMs,
    ...(run.endMs === null ? {} : { end_time: run.endMs }),
    artifact_uri: run.artifactUri,
    lifecycle_stage: run.lifecycleStage,
  };
}

export function metricView({ key, value, timestampMs, step }: MetricEntry): MetricView {
  return { key, value: doubleJson(value), timestamp: timestampMs, step };
}
