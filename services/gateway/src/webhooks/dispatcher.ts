import type { Outbox } from '@millrace/bus';
import { WebhookDisabled } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { Logger, Metrics } from '@millrace/service-kit';
import { ATTEMPTS_MAX, FAILING_MAX_MS, retryDelayMs, verdictOf } from './retry-schedule.ts';
import type { Sender } from './send.ts';
import { SEND_TIMEOUT_MS } from './send.ts';
import { signedHeaders } from './signature.ts';
import { createWebhookRepository } from './webhook.repository.ts';
import type { Attempt, DeliveryRow, WebhookRow } from './webhook.table.ts';
import type { SecretBox } from './webhook-secrets.ts';

/** Webhooks served at once by one gateway. */
const CONCURRENCY = 16;
/** Deliveries of one webhook before another one gets its turn. */
const TURN_DELIVERIES = 5;
/** A gateway that is gone leaves its webhooks to others after this: longer than a whole turn. */
const HOLD_MS = (TURN_DELIVERIES + 1) * SEND_TIMEOUT_MS;
/** How often what waits is looked for when nobody says so. */
const POLL_MS = 1_000;
/** Attempts that the log of a delivery keeps. */
const LOG_ATTEMPTS_MAX = 20;
/** How long deliveries that ended are kept, and how often older ones are removed. */
const RETENTION_MS = 30 * 24 * 60 * 60_000;
const CLEAN_MS = 60 * 60_000;

export type Dispatcher = {
  /** Looks for what waits now instead of at the next poll. */
  poke(): void;
  /** Sends one delivery once and notes the outcome in its log, and nothing else of it. */
  deliver(webhook: WebhookRow, delivery: DeliveryRow): Promise<Attempt>;
  /** Takes no more, and waits for what is being sent. */
  stop(): Promise<void>;
};

/**
 * Sends what waits: one delivery of a webhook at a time, in the order of the events. A receiver that is away holds all
 * its deliveries; one that refuses an event gets the next ones, and that event again later. At least once: a delivery
 * counts as done when its row says so.
 */
export function startDispatcher(deps: {
  database: Database;
  outbox: Outbox;
  box: SecretBox;
  send: Sender;
  logger: Logger;
  metrics: Metrics;
}): Dispatcher {
  const { database, outbox, box, send, logger } = deps;
  const webhooks = createWebhookRepository(database.db);
  const seconds = deps.metrics.histogram({
    name: 'webhook_attempt_seconds',
    help: 'Time of one attempt to deliver an event to a webhook.',
    labels: ['outcome'],
  });
  const serving = new Set<Promise<void>>();
  let isStopping = false;
  let isPoked = false;
  let wake: (() => void) | undefined;
  let cleanAtMs = 0;

  async function attempt(webhook: WebhookRow, delivery: DeliveryRow): Promise<Attempt> {
    const at = new Date();
    const inUse = webhook.secrets.filter(
      ({ expiresAt }) => expiresAt === null || Date.parse(expiresAt) > at.getTime(),
    );
    const secrets = inUse.map(({ sealed }) => box.open(sealed, webhook.id));
    const headers = signedHeaders({ id: delivery.eventId, body: delivery.payload, at }, secrets);
    const outcome = await send({ url: webhook.url, headers, body: delivery.payload });
    seconds.observe({ outcome: verdictOf(outcome) }, outcome.latencyMs / 1_000);
    return outcome;
  }

  const logged = (delivery: DeliveryRow, outcome: Attempt): Attempt[] =>
    [...delivery.log, outcome].slice(-LOG_ATTEMPTS_MAX);

  /** Gives the time until which the webhook is to be left alone, if any. */
  async function serveOne(webhook: WebhookRow, delivery: DeliveryRow): Promise<Date | undefined> {
    const outcome = await attempt(webhook, delivery);
    const verdict = verdictOf(outcome);
    const attempts = delivery.attempts + 1;
    const now = new Date();
    const log = logged(delivery, outcome);
    if (verdict === 'delivered') {
      await webhooks.updateDelivery(delivery, { state: 'delivered', attempts, log, endedAt: now });
      if (webhook.failingSince !== null) await webhooks.update(webhook.id, { failingSince: null });
      webhook.failingSince = null;
      return undefined;
    }
    const nextAt = new Date(now.getTime() + retryDelayMs(attempts));
    const isOver = attempts >= ATTEMPTS_MAX;
    const over = { state: 'failed' as const, endedAt: now };
    await webhooks.updateDelivery(delivery, { attempts, log, nextAt, ...(isOver && over) });
    webhook.failingSince ??= now;
    await webhooks.update(webhook.id, { failingSince: webhook.failingSince });
    const failingMs = now.getTime() - webhook.failingSince.getTime();
    if (verdict === 'gone') return await disable(webhook, 'its receiver answered 410: it is gone');
    if (failingMs > FAILING_MAX_MS) return await disable(webhook, 'nothing went through for three days');
    return verdict === 'hold' ? nextAt : undefined;
  }

  async function disable(webhook: WebhookRow, reason: string): Promise<Date> {
    const { id, tenant, failingSince } = webhook;
    const disabledAt = new Date();
    await database.transaction(async (tx) => {
      await createWebhookRepository(tx).update(id, { disabledAt, disabledReason: reason });
      await outbox.append(
        tx,
        WebhookDisabled,
        id,
        { webhookId: id, tenant, reason, failingSince: failingSince?.toISOString() ?? null },
        { tenant },
      );
    });
    logger.warn({ webhookId: id, tenant, reason }, 'A webhook was disabled.');
    return disabledAt;
  }

  async function serve(webhook: WebhookRow): Promise<void> {
    let heldUntil: Date | undefined;
    try {
      for (const delivery of await webhooks.listDue(webhook.id, TURN_DELIVERIES)) {
        heldUntil = await serveOne(webhook, delivery);
        if (heldUntil !== undefined || isStopping) break;
      }
      await webhooks.update(webhook.id, { heldUntil: heldUntil ?? new Date() });
    } catch (error) {
      logger.warn({ webhookId: webhook.id, err: error }, 'A webhook could not be served; it is tried again.');
    }
  }

  async function clean(): Promise<void> {
    if (Date.now() < cleanAtMs) return;
    cleanAtMs = Date.now() + CLEAN_MS;
    await webhooks.removeEndedBefore(new Date(Date.now() - RETENTION_MS));
  }

  async function round(): Promise<void> {
    const free = CONCURRENCY - serving.size;
    if (free === 0) return;
    for (const webhook of await webhooks.claim(free, new Date(Date.now() + HOLD_MS))) {
      const work = serve(webhook).finally(() => {
        serving.delete(work);
        poke();
      });
      serving.add(work);
    }
    await clean();
  }

  function poke(): void {
    isPoked = true;
    wake?.();
  }

  async function rest(): Promise<void> {
    if (!isPoked && !isStopping)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, POLL_MS);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    isPoked = false;
  }

  const loop = (async () => {
    while (!isStopping) {
      await round().catch((error: unknown) => {
        logger.warn({ err: error }, 'Webhooks could not be looked at; trying again.');
        isPoked = false;
      });
      await rest();
    }
  })();

  return {
    poke,
    async deliver(webhook, delivery) {
      const outcome = await attempt(webhook, delivery);
      const state = verdictOf(outcome) === 'delivered' ? ('delivered' as const) : ('failed' as const);
      const log = logged(delivery, outcome);
      await webhooks.updateDelivery(delivery, {
        state,
        attempts: delivery.attempts + 1,
        log,
        endedAt: new Date(),
      });
      return outcome;
    },
    async stop() {
      isStopping = true;
      wake?.();
      await loop;
      await Promise.all(serving);
    },
  };
}
