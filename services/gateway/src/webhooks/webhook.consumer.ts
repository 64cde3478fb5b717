import type { Bus, Pull } from '@millrace/bus';
import { buryMessage, HEADER, retryDelayMs, startPull } from '@millrace/bus';
import type { Database } from '@millrace/database';
import { PLATFORM_TENANT } from '@millrace/service-kit';
import type { JsMsg } from '@nats-io/jetstream';
import { eventName, matchesType } from './event-types.ts';
import { createWebhookRepository } from './webhook.repository.ts';

const DURABLE = 'gateway-webhooks';
/** An event that a gateway took and did not store comes again after this; storing takes some milliseconds. */
const ACK_WAIT_MS = 5_000;

/** An event as it goes to receivers: CloudEvents 1.0, structured. */
type Envelope = { id: string; type: string; tenant: string; payload: Buffer };

/**
 * Puts every fact in line for the webhooks that want it, in one transaction, and acknowledges it after the commit: an
 * event that comes again is found to be there. Starts with the events that come from its first start on.
 */
export function startWebhookConsumer(deps: { bus: Bus; database: Database; poke: () => void }): Pull {
  const { bus, database, poke } = deps;

  async function enqueue({ id, type, tenant, payload }: Envelope): Promise<boolean> {
    const name = eventName(type);
    const wanting = (await createWebhookRepository(database.db).listEnabled(tenant)).filter(({ types }) =>
      matchesType(types, name),
    );
    const deliveries = wanting.map(({ id: webhookId }) => ({ webhookId, eventId: id, type: name, payload }));
    await createWebhookRepository(database.db).enqueue(deliveries);
    return deliveries.length > 0;
  }

  async function onMessage(message: JsMsg): Promise<void> {
    let envelope: Envelope;
    try {
      envelope = envelopeOf(message);
    } catch (error) {
      // nothing makes such a message readable: it is kept where somebody can look at it
      return await buryMessage(bus, { consumer: DURABLE, message, error }).catch(() =>
        message.nak(ACK_WAIT_MS),
      );
    }
    try {
      if (await enqueue(envelope)) poke();
      message.ack();
    } catch (error) {
      const { deliveryCount } = message.info;
      bus.logger.warn({ error: String(error) }, 'An event is not in line for webhooks yet; it comes again.');
      message.nak(retryDelayMs(deliveryCount));
    }
  }

  return startPull(
    bus,
    {
      stream: 'events',
      durable: DURABLE,
      filterSubject: 'millrace.evt.>',
      ackWaitMs: ACK_WAIT_MS,
      // the stream keeps events for days, and none is given up while Postgres is away
      maxDeliver: -1,
      maxAckPending: 64,
      deliver: 'new',
    },
    { concurrency: 1, onMessage },
  );
}

function envelopeOf(message: JsMsg): Envelope {
  const header = (name: string): string => message.headers?.get(name) ?? '';
  const id =
    header(HEADER.id) || header('Nats-Msg-Id') || `${message.info.stream}-${message.info.streamSequence}`;
  const type = header(HEADER.type) || message.subject;
  const version = Number(header(HEADER.aggregateVersion));
  const event = {
    specversion: '1.0',
    id,
    type,
    source: header(HEADER.source),
    subject: header(HEADER.subject),
    time: header(HEADER.time) || new Date(message.time).toISOString(),
    datacontenttype: 'application/json',
    ...(version > 0 && { aggregateversion: version }),
    data: message.json(),
  };
  const tenant = header(HEADER.tenant) || PLATFORM_TENANT;
  return { id, type, tenant, payload: Buffer.from(JSON.stringify(event)) };
}
