import { AppError } from '@millrace/contracts';
import Type from 'typebox';
import { Double, double, Int64, int64 } from '../mlflow/proto-json.ts';
import type { MetricEntry } from './log-writer.ts';

/** How every request names its run: older clients say run_uuid, and most say both. */
export const runFields = { run_id: Type.Optional(Type.String()), run_uuid: Type.Optional(Type.String()) };

/** Throws `invalid_request` when neither field is there. */
export function runIdIn(fields: { run_id?: string; run_uuid?: string }): string {
  const runId = fields.run_id || fields.run_uuid;
  if (runId) return runId;
  throw new AppError('invalid_request', "Missing value for required parameter 'run_id'.");
}

export const PairField = Type.Object({ key: Type.String(), value: Type.String({ default: '' }) });

export const MetricField = Type.Object({
  key: Type.String(),
  value: Double,
  timestamp: Int64,
  step: Type.Optional(Int64),
  model_id: Type.Optional(Type.String()),
  dataset_name: Type.Optional(Type.String()),
  dataset_digest: Type.Optional(Type.String()),
});

export function metricOf(field: Type.Static<typeof MetricField>): MetricEntry {
  return {
    key: field.key,
    value: double(field.value),
    timestampMs: int64(field.timestamp, 'timestamp'),
    step: int64(field.step ?? 0, 'step'),
    ...(field.model_id ? { modelId: field.model_id } : {}),
    ...(field.dataset_name ? { datasetName: field.dataset_name } : {}),
    ...(field.dataset_digest ? { datasetDigest: field.dataset_digest } : {}),
  };
}
