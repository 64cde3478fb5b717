import { once } from 'node:events';
import type { Prediction, PredictionBatch } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { toDatabaseError } from '@millrace/database';
import { PLATFORM_TENANT } from '@millrace/service-kit';
import type { PoolClient } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';

/** Name under which the inbox remembers batches. */
export const PREDICTIONS_CONSUMER = 'monitoring-predictions';

const COLUMNS =
  'id, at, tenant, model_version_id, model, version, framework, user_id, session_id, inputs, outputs, confidence, latency_ms';

const tenantOf = ({ tenant = PLATFORM_TENANT }: PredictionBatch): string => tenant;

/** One field of COPY's text format. */
function field(value: string | number | null | undefined): string {
  if (value === null || value === undefined) return '\\N';
  return String(value).replace(
    /[\\\n\r\t]/g,
    (c) => ({ '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' })[c] ?? c,
  );
}

/** JSON that Postgres takes: it has no NUL in texts. */
function json(value: unknown): string {
  return JSON.stringify(value).replaceAll('\\u0000', '\\ufffd');
}

function line(batch: PredictionBatch, prediction: Prediction): string {
  const { inferenceId, time, userId, sessionId, inputs, outputs, confidence, latencyMs } = prediction;
  const about = [tenantOf(batch), batch.modelVersionId, batch.model, batch.version, batch.framework];
  const text = (value: string | undefined) => value?.replaceAll('\0', '\ufffd');
  const fields = [
    inferenceId,
    time,
    ...about,
    text(userId),
    text(sessionId),
    json(inputs),
    json(outputs),
    confidence,
    latencyMs,
  ];
  return `${fields.map(field).join('\t')}\n`;
}

async function copyRows(client: PoolClient, batch: PredictionBatch): Promise<void> {
  const stream = client.query(copyFrom(`copy monitoring.predictions (${COLUMNS}) from stdin`));
  const finished = once(stream, 'finish');
  stream.end(batch.predictions.map((prediction) => line(batch, prediction)).join(''));
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

async function apply(client: PoolClient, batch: PredictionBatch): Promise<boolean> {
  const taken = await client.query(
    'insert into monitoring.inbox (consumer, message_id) values ($1, $2) on conflict do nothing',
    [PREDICTIONS_CONSUMER, batch.batchId],
  );
  if (taken.rowCount === 0) return false;
  if (batch.predictions.length > 0) {
    await copyRows(client, batch);
    await client.query(
      'update monitoring.feedback set is_matched = true where inference_id = any($1) and tenant = $2 and not is_matched',
      [batch.predictions.map(({ inferenceId }) => inferenceId), tenantOf(batch)],
    );
  }
  await countSource(client, batch);
  return true;
}

/**
 * Stores a batch once: rows, counts and the mark of the inbox in one transaction. False when it was stored before.
 * Throws `database_unavailable` while Postgres is away.
 */
export async function storeBatch(database: Database, batch: PredictionBatch): Promise<boolean> {
  let client: PoolClient | undefined;
  let broken: Error | undefined;
  try {
    client = await database.pool.connect();
    await client.query('begin');
    const isNew = await apply(client, batch);
    await client.query('commit');
    return isNew;
  } catch (error) {
    broken = error as Error;
    throw toDatabaseError(error);
  } finally {
    // a connection that failed half way is not used again
    client?.release(broken);
  }
}
