import type { Bus, Outbox } from '@millrace/bus';
import type { Database } from '@millrace/database';
import type { Logger, Metrics } from '@millrace/service-kit';
import { startDispatcher } from './dispatcher.ts';
import { createSender } from './send.ts';
import type { AllowedNetworks } from './target.ts';
import { startWebhookConsumer } from './webhook.consumer.ts';
import type { WebhookService } from './webhook.service.ts';
import { createWebhookService } from './webhook.service.ts';
import { createWebhookFacts } from './webhook-facts.ts';
import { createSecretBox } from './webhook-secrets.ts';

/** Webhooks as a whole: their rules, the durable that puts events in line, and what sends them. */
export function startWebhooks(deps: {
  database: Database;
  bus: Bus;
  outbox: Outbox;
  privateKeyPem: string;
  networks: AllowedNetworks;
  logger: Logger;
  metrics: Metrics;
  sendTimeoutMs?: number;
}): { webhooks: WebhookService; stop(): Promise<void> } {
  const { database, bus, networks } = deps;
  const box = createSecretBox(deps.privateKeyPem);
  const send = createSender(networks, deps.sendTimeoutMs);
  const { poke, deliver, ...dispatcher } = startDispatcher({ ...deps, box, send });
  const facts = createWebhookFacts(deps.outbox);
  const webhooks = createWebhookService({ database, facts, box, networks, deliver, poke });
  const consumer = startWebhookConsumer({ bus, database, poke });
  return {
    webhooks,
    async stop() {
      await consumer.stop();
      await dispatcher.stop();
    },
  };
}
