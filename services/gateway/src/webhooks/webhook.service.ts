import { AppError, newId } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { advisoryKey } from '@millrace/database';
import type { Principal } from '@millrace/service-kit';
import { sql } from 'drizzle-orm';
import type { CreatedPage } from '../created-page.ts';
import { canSee, tenantFor } from '../tenants/tenant-access.ts';
import type { AllowedNetworks } from './target.ts';
import { assertTarget } from './target.ts';
import type { DeliveryPage, WebhookChange } from './webhook.repository.ts';
import { createWebhookRepository } from './webhook.repository.ts';
import type { Attempt, DeliveryRow, WebhookRow } from './webhook.table.ts';
import type { WebhookDifference, WebhookFacts } from './webhook-facts.ts';
import type { SecretBox } from './webhook-secrets.ts';
import { newSecret } from './webhook-secrets.ts';

/** Webhooks of one tenant: each event is stored once for each of them. */
const WEBHOOKS_OF_TENANT_MAX = 50;

export type NewWebhook = { url: string; types: string[]; tenant?: string; note?: string };
export type WebhookRequest = { url?: string; types?: string[]; note?: string; enabled?: boolean };
export type WebhookService = ReturnType<typeof createWebhookService>;

/** The rules for webhooks. `deliver` sends one delivery now; `poke` has what waits looked at. */
export function createWebhookService(deps: {
  database: Database;
  facts: WebhookFacts;
  box: SecretBox;
  networks: AllowedNetworks;
  deliver: (webhook: WebhookRow, delivery: DeliveryRow) => Promise<Attempt>;
  poke: () => void;
}) {
  const { database, facts, box, networks, deliver, poke } = deps;
  const webhooks = createWebhookRepository(database.db);

  /** Throws `webhook_not_found`, also for one of another tenant. */
  async function found(id: string, by: Principal): Promise<WebhookRow> {
    const row = await webhooks.find(id);
    if (row !== undefined && canSee(by, row.tenant)) return row;
    throw new AppError('webhook_not_found', `There is no webhook '${id}'; GET /v1/webhooks lists them.`);
  }

  async function foundDelivery(id: string, eventId: string, by: Principal): Promise<DeliveryRow> {
    const { id: webhookId } = await found(id, by);
    const row = await webhooks.findDelivery(webhookId, eventId);
    if (row !== undefined) return row;
    throw new AppError(
      'webhook_delivery_not_found',
      `The webhook has no delivery of the event '${eventId}'.`,
    );
  }

  /** Changes a webhook, and tells what of it is different since. */
  async function updated(before: WebhookRow, by: Principal, change: WebhookChange): Promise<void> {
    await database.transaction(async (tx) => {
      await createWebhookRepository(tx).update(before.id, change);
      const after = { ...before, ...change };
      await facts.changed(tx, after, differences(before, after), by.id);
    });
  }

  return {
    found,
    foundDelivery,
    /** Its signing secret is in the answer and can be read nowhere else. */
    async create(request: NewWebhook, by: Principal): Promise<{ row: WebhookRow; secret: string }> {
      const tenant = tenantFor(by, request.tenant);
      assertTarget(request.url, networks);
      const id = newId();
      const secret = newSecret();
      const now = new Date();
      await database.transaction(async (tx) => {
        const repository = createWebhookRepository(tx);
        await tx.execute(
          sql`select pg_advisory_xact_lock(${advisoryKey(`gateway:webhooks:${tenant}`)}::bigint)`,
        );
        if ((await repository.countOf(tenant)) >= WEBHOOKS_OF_TENANT_MAX)
          throw new AppError(
            'webhook_limit_reached',
            `The tenant '${tenant}' has ${WEBHOOKS_OF_TENANT_MAX} webhooks, as many as it may; delete some first.`,
          );
        const made = { id, tenant, url: request.url, types: [...new Set(request.types)] };
        await repository.insert({
          ...made,
          note: request.note ?? '',
          secrets: [{ sealed: box.seal(secret, id), createdAt: now.toISOString(), expiresAt: null }],
          createdBy: by.id,
        });
        await facts.created(tx, { ...made, disabledAt: null }, by.id);
      });
      return { row: await found(id, by), secret };
    },
    async list(page: CreatedPage & { tenant?: string }, by: Principal): Promise<WebhookRow[]> {
      return await webhooks.list({ ...page, tenant: tenantFor(by, page.tenant) });
    },
    /** Enabling a webhook forgives it what failed before. */
    async change(id: string, request: WebhookRequest, by: Principal): Promise<WebhookRow> {
      const before = await found(id, by);
      const { url, types, note, enabled } = request;
      if (url !== undefined) assertTarget(url, networks);
      const enabling = { disabledAt: null, disabledReason: null, failingSince: null, heldUntil: new Date() };
      const disabling = {
        disabledAt: before.disabledAt ?? new Date(),
        disabledReason: `disabled by ${by.id}`,
      };
      await updated(before, by, {
        ...(url !== undefined && { url, heldUntil: new Date() }),
        ...(types !== undefined && { types: [...new Set(types)] }),
        ...(note !== undefined && { note }),
        ...(enabled !== undefined && (enabled ? enabling : disabling)),
      });
      poke();
      return await found(id, by);
    },
    async remove(id: string, by: Principal): Promise<void> {
      const row = await found(id, by);
      await database.transaction(async (tx) => {
        if (await createWebhookRepository(tx).remove(id)) await facts.deleted(tx, row, by.id);
      });
    },
    /** A new secret; both sign until the old one ends, after which no more than one is left. */
    async rotateSecret(
      id: string,
      overlapSeconds: number,
      by: Principal,
    ): Promise<{ row: WebhookRow; secret: string }> {
      const before = await found(id, by);
      const now = Date.now();
      const expiresAt = new Date(now + overlapSeconds * 1_000).toISOString();
      const secret = newSecret();
      const made = { sealed: box.seal(secret, id), createdAt: new Date(now).toISOString(), expiresAt: null };
      const old = before.secrets.slice(0, 1).map((one) => ({ ...one, expiresAt }));
      await updated(before, by, { secrets: [made, ...old] });
      return { row: await found(id, by), secret };
    },
    async deliveries(id: string, page: DeliveryPage, by: Principal): Promise<DeliveryRow[]> {
      await found(id, by);
      return await webhooks.listDeliveries(id, page);
    },
    /** Sends one event again, with its old id. */
    async replay(id: string, eventId: string, by: Principal): Promise<DeliveryRow> {
      await foundDelivery(id, eventId, by);
      await webhooks.requeue(id, { since: new Date(0), until: new Date(Date.now() + 60_000), eventId });
      poke();
      return await foundDelivery(id, eventId, by);
    },
    /** Sends the events of a span of time again; gives how many. */
    async replaySpan(
      id: string,
      span: { since: Date; until: Date; state?: DeliveryRow['state'] },
      by: Principal,
    ): Promise<number> {
      await found(id, by);
      const queued = await webhooks.requeue(id, span);
      poke();
      return queued;
    },
    /** Sends an event that nothing happened for, now and once; works for a disabled webhook as well. */
    async test(id: string, by: Principal): Promise<Attempt> {
      const webhook = await found(id, by);
      const eventId = newId();
      const type = 'webhook.test';
      const payload = Buffer.from(
        JSON.stringify({
          specversion: '1.0',
          id: eventId,
          type: `dev.millrace.${type}.v1`,
          source: '/millrace/gateway',
          subject: id,
          time: new Date().toISOString(),
          datacontenttype: 'application/json',
          data: { webhookId: id, by: by.id },
        }),
      );
      await database.transaction(async (tx) => {
        const repository = createWebhookRepository(tx);
        await repository.enqueue([{ webhookId: id, eventId, type, payload }]);
        const row = (await repository.findDelivery(id, eventId)) as DeliveryRow;
        await repository.updateDelivery(row, { state: 'failed', endedAt: new Date() });
      });
      return await deliver(webhook, await foundDelivery(id, eventId, by));
    },
  };
}

function differences(before: WebhookRow, after: WebhookRow): WebhookDifference[] {
  const isDifferent: Record<WebhookDifference, boolean> = {
    url: before.url !== after.url,
    types: before.types.join(' ') !== after.types.join(' '),
    note: before.note !== after.note,
    enabled: (before.disabledAt === null) !== (after.disabledAt === null),
    secret: before.secrets !== after.secrets,
  };
  return Object.entries(isDifferent).flatMap(([name, is]) => (is ? [name as WebhookDifference] : []));
}
