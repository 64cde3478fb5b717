import type { Bus, Pull } from '@millrace/bus';
import { buryMessage, retryDelayMs, startPull } from '@millrace/bus';
import { AppError, PredictionBatch } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { sqlState } from '@millrace/database';
import type { Logger, Metrics } from '@millrace/service-kit';
import type { JsMsg } from '@nats-io/jetstream';
import { Compile } from 'typebox/compile';
import type { Partitions } from './partitions.ts';
import { dayOf } from './partitions.ts';
import { PREDICTIONS_CONSUMER, storeBatch } from './prediction.repository.ts';

/** What a process that was killed had in hand comes to another after this; one that lives says so in time. */
const ACK_WAIT_MS = 10_000;
/** Batches stored at once; each is one transaction. */
const CONCURRENCY = 4;
/** As often as it takes: the stream's age, not a count, bounds how long Postgres may be away. */
const MAX_DELIVER = 1_000_000;
const MAX_ACK_PENDING = 512;
/** A prediction dated further ahead than this comes from a wrong clock (ms). */
const AHEAD_MS_MAX = 48 * 60 * 60_000;

const validator = Compile(PredictionBatch);

function parse(message: JsMsg): PredictionBatch {
  let data: unknown;
  try {
    data = message.json();
  } catch (cause) {
    throw new AppError('invalid_json', 'A batch of predictions is not JSON.', { cause });
  }
  if (!validator.Check(data)) {
    const [first] = validator.Errors(data);
    throw new AppError(
      'invalid_request',
      `A batch does not fit its schema: ${first?.instancePath} ${first?.message}`,
    );
  }
  const isAhead = data.predictions.some(({ time }) => !(Date.parse(time) < Date.now() + AHEAD_MS_MAX));
  if (isAhead) throw new AppError('invalid_request', 'A prediction is dated in the future.');
  return data;
}

/** Data that Postgres will never take: trying again cannot help. */
const isRefused = (error: unknown): boolean => /^22|^2350[25]/.test(sqlState(error) ?? '');
/** A row without a partition: another replica removed one that this process remembers. */
const hasNoPartition = (error: unknown): boolean => sqlState(error) === '23514';

/** Stores every batch of predictions of the bus in Postgres, each once; waits out a Postgres that is away. */
export function startPredictionConsumer(deps: {
  bus: Bus;
  database: Database;
  partitions: Partitions;
  logger: Logger;
  metrics: Metrics;
}): Pull {
  const { bus, database, partitions, logger } = deps;
  const stored = deps.metrics.counter({
    name: 'predictions_total',
    help: 'Predictions stored, and those that the sender had to drop.',
    labels: ['state'],
  });

  async function store(message: JsMsg): Promise<void> {
    const batch = parse(message);
    await partitions.ensure(new Set(batch.predictions.map(({ time }) => dayOf(new Date(time)))));
    if (!(await storeBatch(database, batch))) return;
    stored.inc({ state: 'stored' }, batch.predictions.length);
    stored.inc({ state: 'dropped' }, batch.dropped);
  }

  return startPull(
    bus,
    {
      stream: 'telemetry',
      durable: PREDICTIONS_CONSUMER,
      filterSubject: 'millrace.tel.prediction.*',
      ackWaitMs: ACK_WAIT_MS,
      maxDeliver: MAX_DELIVER,
      maxAckPending: MAX_ACK_PENDING,
    },
    {
      concurrency: CONCURRENCY,
      async onMessage(message) {
        const working = setInterval(() => message.working(), ACK_WAIT_MS / 3);
        try {
          await store(message);
          message.ack();
        } catch (error) {
          const isFinal = (error instanceof AppError && !error.retryable) || isRefused(error);
          if (isFinal) {
            logger.error({ err: error, subject: message.subject }, 'A batch of predictions was given up.');
            await buryMessage(bus, { consumer: PREDICTIONS_CONSUMER, message, error });
            return;
          }
          if (hasNoPartition(error)) partitions.forget();
          logger.warn({ err: error }, 'Predictions wait for Postgres.');
          message.nak(retryDelayMs(message.info.deliveryCount));
        } finally {
          clearInterval(working);
        }
      },
    },
  );
}
