import type { EventData, EventDefinition } from '@millrace/contracts';
import { AppError, newId } from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import { sql } from 'drizzle-orm';
import type { Validator } from 'typebox/compile';
import { Compile } from 'typebox/compile';
import { HEADER, messageHeaders, schemaUri } from './headers.ts';
import type { BusTables } from './outbox.table.ts';

/** A payload over this goes to S3 and its digest into the event (bytes). */
export const MAX_PAYLOAD_BYTES = 65_536;

/** A message that is not a catalogued fact. */
export type OutboxMessage = {
  subject: string;
  /** CloudEvents `ce-type`. */
  type: string;
  aggregate: string;
  aggregateId: string;
  data: unknown;
  headers?: Readonly<Record<string, string>>;
  tenant?: string;
};

export type Outbox = {
  /**
   * Adds a fact to the open transaction; the relay publishes it after the commit, in order within its aggregate.
   * `owner` says whose fact it is: webhooks of that tenant get it, and those who act on it act for that tenant. Returns the message id. Asserts that the data
   * fit the event's schema and MAX_PAYLOAD_BYTES.
   */
  append<E extends EventDefinition>(
    tx: Executor,
    event: E,
    aggregateId: string,
    data: EventData<E>,
    owner: { tenant: string },
  ): Promise<string>;
  /** Adds any other message, such as a job, under a subject of a declared stream. */
  appendMessage(tx: Executor, message: OutboxMessage): Promise<string>;
};

const validators = new WeakMap<EventDefinition, Validator>();

function assertValid(event: EventDefinition, data: unknown): void {
  let validator = validators.get(event);
  if (validator === undefined) {
    validator = Compile(event.data);
    validators.set(event, validator);
  }
  if (validator.Check(data)) return;
  const [first] = validator.Errors(data);
  throw new AppError(
    'internal',
    `Event ${event.name} does not fit its schema: ${first?.instancePath ?? ''} ${first?.message ?? ''}`,
  );
}

/** The publishing half of a service's outbox; `source` is the service's name. */
export function createOutbox(tables: BusTables, source: string): Outbox {
  async function nextVersion(tx: Executor, aggregate: string, aggregateId: string): Promise<number> {
    const [row] = await tx
      .insert(tables.aggregateVersions)
      .values({ aggregate, aggregateId, version: 1 })
      .onConflictDoUpdate({
        target: [tables.aggregateVersions.aggregate, tables.aggregateVersions.aggregateId],
        set: { version: sql`${tables.aggregateVersions.version} + 1` },
      })
      .returning({ version: tables.aggregateVersions.version });
    if (row === undefined) throw new AppError('internal', 'The outbox gave no aggregate version.');
    return row.version;
  }

  async function insert(tx: Executor, message: OutboxMessage & { schema?: string }): Promise<string> {
    const payload = Buffer.from(JSON.stringify(message.data));
    if (payload.length > MAX_PAYLOAD_BYTES) {
      throw new AppError(
        'internal',
        `A message on ${message.subject} has ${payload.length} bytes, over ${MAX_PAYLOAD_BYTES}; put the payload into S3 and send its digest.`,
      );
    }
    const id = newId();
    const aggregateVersion = await nextVersion(tx, message.aggregate, message.aggregateId);
    const headers = messageHeaders({
      id,
      type: message.type,
      source,
      subject: message.aggregateId,
      time: new Date(),
      aggregateVersion,
      ...(message.tenant !== undefined && { tenant: message.tenant }),
    });
    Object.assign(headers, message.headers);
    if (message.schema !== undefined) headers[HEADER.schema] = message.schema;
    await tx.insert(tables.outbox).values({
      id,
      aggregate: message.aggregate,
      aggregateId: message.aggregateId,
      aggregateVersion,
      subject: message.subject,
      headers,
      payload,
    });
    return id;
  }

  return {
    append(tx, event, aggregateId, data, options) {
      assertValid(event, data);
      return insert(tx, {
        subject: event.subject,
        type: event.type,
        aggregate: event.aggregate,
        aggregateId,
        data,
        schema: schemaUri(event),
        ...options,
      });
    },
    appendMessage: (tx, message) => insert(tx, message),
  };
}
