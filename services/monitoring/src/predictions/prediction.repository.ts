import { once } from 'node:events';
import type { Prediction, PredictionBatch } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { PLATFORM_TENANT } from '@millrace/service-kit';
import type { PoolClient } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { erasedAmong } from '../erasure/erased-users.ts';
import { matchFeedback } from '../feedback/feedback-match.ts';
import { inTransaction } from '../in-transaction.ts';
import { jsonText, plainText } from '../postgres-text.ts';
import { addToRollups } from '../rollups/rollup.writer.ts';
import { countPredictions } from '../rollups/rollup-counts.ts';
import type { StageSince } from '../stages/stage.repository.ts';
import { stageAt, stagesOf } from '../stages/stage.repository.ts';

/** Name under which the inbox remembers batches. */
export const PREDICTIONS_CONSUMER = 'monitoring-predictions';

const COLUMNS =
  'id, at, tenant, model_version_id, model, version, framework, user_id, session_id, inputs, outputs, confidence, latency_ms, stage, size_bytes';

const tenantOf = ({ tenant = PLATFORM_TENANT }: PredictionBatch): string => tenant;

/** A prediction as it is stored. */
type Row = {
  readonly prediction: Prediction;
  readonly at: number;
  readonly stage: string;
  readonly inputs: string;
  readonly outputs: string;
  readonly sizeBytes: number;
};

function toRow(prediction: Prediction, stages: readonly StageSince[]): Row {
  const at = Date.parse(prediction.time);
  const [inputs, outputs] = [jsonText(prediction.inputs), jsonText(prediction.outputs)];
  const sizeBytes = Buffer.byteLength(inputs) + Buffer.byteLength(outputs);
  return { prediction, at, stage: stageAt(stages, at), inputs, outputs, sizeBytes };
}

/** One field of COPY's text format. */
function field(value: string | number | null | undefined): string {
  if (value === null || value === undefined) return '\\N';
  return String(value).replace(
    /[\\\n\r\t]/g,
    (c) => ({ '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' })[c] ?? c,
  );
}

function line(batch: PredictionBatch, { prediction, stage, inputs, outputs, sizeBytes }: Row): string {
  const { inferenceId, time, userId, sessionId, confidence, latencyMs } = prediction;
  const about = [tenantOf(batch), batch.modelVersionId, batch.model, batch.version, batch.framework];
  const text = (value: string | undefined) => (value === undefined ? value : plainText(value));
  const fields = [
    inferenceId,
    time,
    ...about,
    text(userId),
    text(sessionId),
    inputs,
    outputs,
    confidence,
    latencyMs,
    stage,
    sizeBytes,
  ];
  return `${fields.map(field).join('\t')}\n`;
}

async function copyRows(client: PoolClient, batch: PredictionBatch, rows: readonly Row[]): Promise<void> {
  if (rows.length === 0) return;
  const stream = client.query(copyFrom(`copy monitoring.predictions (${COLUMNS}) from stdin`));
  const finished = once(stream, 'finish');
  stream.end(rows.map((row) => line(batch, row)).join(''));
  await finished;
}

async function countSource(client: PoolClient, batch: PredictionBatch): Promise<void> {
  await client.query(
    `insert into monitoring.prediction_sources as s
       (source, model_version_id, model, version, batches, max_sequence, stored, dropped, tenant)
     values ($1, $2, $3, $4, 1, $5, $6, $7, $8)
     on conflict (source, model_version_id) do update set
       batches = s.batches + 1, max_sequence = greatest(s.max_sequence, excluded.max_sequence),
       stored = s.stored + excluded.stored, dropped = s.dropped + excluded.dropped, last_at = now()`,
    [
      batch.source,
      batch.modelVersionId,
      batch.model,
      batch.version,
      batch.sequence,
      batch.predictions.length,
      batch.dropped,
      tenantOf(batch),
    ],
  );
}

/** Stores the rows but those of users whose data was erased since; the roll-ups, which name nobody, count all. */
async function storeRows(client: PoolClient, batch: PredictionBatch): Promise<void> {
  const stages = await stagesOf(client, batch.modelVersionId);
  const rows = batch.predictions.map((prediction) => toRow(prediction, stages));
  const tenant = tenantOf(batch);
  const erased = await erasedAmong(
    client,
    tenant,
    rows.map(({ prediction, at }) => ({ userId: prediction.userId, at })),
  );
  await copyRows(
    client,
    batch,
    rows.filter((_row, index) => !erased.has(index)),
  );
  const { modelVersionId, model, version } = batch;
  const counted = rows.map(({ prediction: { latencyMs, confidence }, at, stage, sizeBytes }) => ({
    at,
    stage,
    latencyMs,
    confidence,
    sizeBytes,
  }));
  await addToRollups(client, { tenant, modelVersionId, model, version }, countPredictions(counted));
}

async function apply(client: PoolClient, batch: PredictionBatch): Promise<boolean> {
  const taken = await client.query(
    'insert into monitoring.inbox (consumer, message_id) values ($1, $2) on conflict do nothing',
    [PREDICTIONS_CONSUMER, batch.batchId],
  );
  if (taken.rowCount === 0) return false;
  if (batch.predictions.length > 0) await storeRows(client, batch);
  await countSource(client, batch);
  return true;
}

/**
 * Stores a batch once: rows, roll-ups, counts and the mark of the inbox in one transaction; then joins feedback that
 * came before. False when the batch was stored before. Throws `database_unavailable` while Postgres is away.
 */
export async function storeBatch(database: Database, batch: PredictionBatch): Promise<boolean> {
  const isNew = await inTransaction(database, (client) => apply(client, batch));
  // also for a batch that was stored before: the process may have ended before it came to this
  await matchFeedback(
    database,
    tenantOf(batch),
    batch.predictions.map(({ inferenceId }) => inferenceId),
  );
  return isNew;
}
