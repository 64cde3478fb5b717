import type { EventData, EventDefinition } from '@millrace/contracts';
import { AppError, isAppError } from '@millrace/contracts';
import type { Database, Executor } from '@millrace/database';
import type { JsMsg } from '@nats-io/jetstream';
import { Compile } from 'typebox/compile';
import type { Bus } from './bus.ts';
import { buryMessage } from './dead-letter.ts';
import { HEADER } from './headers.ts';
import { isTaken, markTaken } from './inbox.ts';
import type { BusTables } from './outbox.table.ts';
import type { Pull } from './pull.ts';
import { startPull } from './pull.ts';
import type { StreamKey } from './streams.ts';

const ACK_WAIT_MS = 30_000;
const MAX_DELIVER = 10;
const RETRY_MIN_MS = 250;
const RETRY_MAX_MS = 30_000;

/** What a handler learns about the message beside its data. */
export type MessageInfo = {
  messageId: string;
  subject: string;
  aggregateId: string;
  aggregateVersion: number;
  /** Whose fact it is; undefined where its publisher did not say. */
  tenant: string | undefined;
  delivery: number;
};

export type ConsumerDefinition<E extends EventDefinition, Prepared> = {
  event: E;
  /** Name of the durable: `<service>-<aggregate>-<fact>`. */
  durable: string;
  /** Where the messages are; facts are in `events`, the default. */
  stream?: StreamKey;
  /** Messages handled at once; default 1, which keeps the stream's order. */
  concurrency?: number;
  maxDeliver?: number;
  /** IO that must not happen inside a transaction (S3, loading); repeated when the message is delivered again. */
  prepare?: (data: EventData<E>, info: MessageInfo) => Promise<Prepared>;
  /** The effect, in one transaction with the inbox row. */
  apply: (tx: Executor, data: EventData<E>, prepared: Prepared, info: MessageInfo) => Promise<void>;
  /** Called once the effect is committed; it may not happen when the process ends just then. Must not throw. */
  committed?: (prepared: Prepared) => void;
};

export type ConsumerDeps = { bus: Bus; database: Database; tables: BusTables };

function infoOf(message: JsMsg): MessageInfo {
  const header = (name: string): string => message.headers?.get(name) ?? '';
  return {
    messageId:
      header(HEADER.id) || header('Nats-Msg-Id') || `${message.info.stream}:${message.info.streamSequence}`,
    subject: message.subject,
    aggregateId: header(HEADER.subject),
    aggregateVersion: Number(header(HEADER.aggregateVersion)) || 0,
    tenant: header(HEADER.tenant) || undefined,
    delivery: message.info.deliveryCount,
  };
}

/**
 * Whose fact it is, for a handler that acts on it. Throws `invalid_request`, so that the message becomes a dead letter,
 * where its publisher did not say: nothing is done in the name of a tenant that was only guessed.
 */
export function ownerOf({ tenant }: Pick<MessageInfo, 'tenant'>): string {
  if (tenant !== undefined) return tenant;
  throw new AppError(
    'invalid_request',
    `The message does not say whose it is (header ${HEADER.tenant}); publish it with its tenant.`,
  );
}

/** Delay before the next delivery: exponential with jitter (ms). */
export function retryDelayMs(delivery: number): number {
  const base = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(delivery - 1, 12));
  return Math.round(base * (0.75 + Math.random() / 2));
}

/**
 * Runs a consumer: validates, drops what the inbox has, prepares, applies in one transaction, acknowledges. A retryable
 * error is delivered again later; any other, an invalid message, or too many deliveries goes to the dead letters.
 */
export function startConsumer<E extends EventDefinition, Prepared = undefined>(
  deps: ConsumerDeps,
  definition: ConsumerDefinition<E, Prepared>,
): Pull {
  const { bus, database, tables } = deps;
  const { event, durable } = definition;
  const maxDeliver = definition.maxDeliver ?? MAX_DELIVER;
  const concurrency = definition.concurrency ?? 1;
  const validator = Compile(event.data);

  async function effect(message: JsMsg, info: MessageInfo): Promise<void> {
    const data = parse(message);
    if (!validator.Check(data)) {
      const [first] = validator.Errors(data);
      throw new AppError(
        'invalid_request',
        `${event.name} does not fit its schema: ${first?.instancePath ?? ''} ${first?.message ?? ''}`,
      );
    }
    if (await isTaken(database.db, tables, durable, info.messageId)) return;
    const fact = data as EventData<E>;
    const prepared = (await definition.prepare?.(fact, info)) as Prepared;
    await database.transaction(async (tx) => {
      if (await markTaken(tx, tables, durable, info.messageId))
        await definition.apply(tx, fact, prepared, info);
    });
    definition.committed?.(prepared);
  }

  async function onMessage(message: JsMsg): Promise<void> {
    const info = infoOf(message);
    const working = setInterval(() => message.working(), ACK_WAIT_MS / 3);
    try {
      await effect(message, info);
      message.ack();
    } catch (error) {
      await onFailure(message, info, error);
    } finally {
      clearInterval(working);
    }
  }

  async function onFailure(message: JsMsg, info: MessageInfo, error: unknown): Promise<void> {
    // an unexpected error may be a passing one, so it is tried again as well; only a definite refusal is final
    const isFinal =
      (isAppError(error) && !error.retryable && error.code !== 'internal') || info.delivery >= maxDeliver;
    const fields = { durable, messageId: info.messageId, delivery: info.delivery, error: String(error) };
    if (!isFinal) {
      bus.logger.warn(fields, 'event not handled; it will be delivered again');
      message.nak(retryDelayMs(info.delivery));
      return;
    }
    try {
      await buryMessage(bus, { consumer: durable, message, error });
      bus.logger.error(fields, 'event given up; it is in the dead letters');
    } catch (buryError) {
      bus.logger.error(
        { ...fields, buryError: String(buryError) },
        'dead letter not stored; the event will be delivered again',
      );
      message.nak(RETRY_MAX_MS);
    }
  }

  return startPull(
    bus,
    {
      stream: definition.stream ?? 'events',
      durable,
      filterSubject: event.subject,
      ackWaitMs: ACK_WAIT_MS,
      // a backstop above our own count, which decides
      maxDeliver: maxDeliver + 10,
      maxAckPending: Math.max(64, concurrency * 4),
    },
    { concurrency, onMessage },
  );
}

function parse(message: JsMsg): unknown {
  try {
    return message.json();
  } catch (cause) {
    throw new AppError('invalid_json', 'The message is not valid JSON.', { cause });
  }
}
