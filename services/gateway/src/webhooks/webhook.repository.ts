import { behind, type Executor, newestFirst } from '@millrace/database';
import { and, count, desc, eq, gte, isNull, lt, lte, sql } from 'drizzle-orm';
import type { CreatedPage } from '../created-page.ts';
import type { DeliveryRow, WebhookRow } from './webhook.table.ts';
import { webhookDeliveries, webhooks } from './webhook.table.ts';

export type WebhookChange = Partial<
  Pick<
    WebhookRow,
    'url' | 'types' | 'note' | 'secrets' | 'disabledAt' | 'disabledReason' | 'failingSince' | 'heldUntil'
  >
>;
export type NewDelivery = Pick<DeliveryRow, 'webhookId' | 'eventId' | 'type' | 'payload'>;
export type DeliveryPage = { limit: number; beforeSeq?: number; state?: DeliveryRow['state'] };

/** Reads and writes webhooks and their deliveries; `db` is the pool or an open transaction. */
export function createWebhookRepository(db: Executor) {
  const one = (webhookId: string, eventId: string) =>
    and(eq(webhookDeliveries.webhookId, webhookId), eq(webhookDeliveries.eventId, eventId));

  return {
    async insert(webhook: typeof webhooks.$inferInsert): Promise<void> {
      await db.insert(webhooks).values(webhook);
    },
    async find(id: string): Promise<WebhookRow | undefined> {
      const [row] = await db.select().from(webhooks).where(eq(webhooks.id, id));
      return row;
    },
    /** Newest first. */
    async list(page: CreatedPage & { tenant: string }): Promise<WebhookRow[]> {
      return await db
        .select()
        .from(webhooks)
        .where(and(behind(webhooks, page.before), eq(webhooks.tenant, page.tenant)))
        .orderBy(...newestFirst(webhooks))
        .limit(page.limit);
    },
    async countOf(tenant: string): Promise<number> {
      const [row] = await db.select({ made: count() }).from(webhooks).where(eq(webhooks.tenant, tenant));
      return row?.made ?? 0;
    },
    async listEnabled(tenant: string): Promise<WebhookRow[]> {
      return await db
        .select()
        .from(webhooks)
        .where(and(eq(webhooks.tenant, tenant), isNull(webhooks.disabledAt)));
    },
    async update(id: string, change: WebhookChange): Promise<void> {
      await db.update(webhooks).set(change).where(eq(webhooks.id, id));
    },
    /** False when it is gone already. */
    async remove(id: string): Promise<boolean> {
      const gone = await db.delete(webhooks).where(eq(webhooks.id, id)).returning({ id: webhooks.id });
      return gone.length > 0;
    },

    /** Puts events in line; one that is there already stays as it is. */
    async enqueue(deliveries: readonly NewDelivery[]): Promise<void> {
      if (deliveries.length === 0) return;
      await db
        .insert(webhookDeliveries)
        .values([...deliveries])
        .onConflictDoNothing();
    },
    /** Takes webhooks that have something to send and that nobody serves, and holds them until `heldUntil`. */
    async claim(limit: number, heldUntil: Date): Promise<WebhookRow[]> {
      const due = db
        .select({ id: webhooks.id })
        .from(webhooks)
        .where(
          and(
            isNull(webhooks.disabledAt),
            lte(webhooks.heldUntil, sql`now()`),
            sql`exists (select 1 from ${webhookDeliveries} where ${webhookDeliveries.webhookId} = ${webhooks.id}
              and ${webhookDeliveries.state} = 'waiting' and ${webhookDeliveries.nextAt} <= now())`,
          ),
        )
        .orderBy(webhooks.heldUntil)
        .limit(limit)
        .for('update', { skipLocked: true });
      return await db.update(webhooks).set({ heldUntil }).where(sql`${webhooks.id} in ${due}`).returning();
    },
    /** What is to be sent now, in the order of the events. */
    async listDue(webhookId: string, limit: number): Promise<DeliveryRow[]> {
      return await db
        .select()
        .from(webhookDeliveries)
        .where(
          and(
            eq(webhookDeliveries.webhookId, webhookId),
            eq(webhookDeliveries.state, 'waiting'),
            lte(webhookDeliveries.nextAt, sql`now()`),
          ),
        )
        .orderBy(webhookDeliveries.seq)
        .limit(limit);
    },
    async updateDelivery(
      { webhookId, eventId }: DeliveryRow,
      change: Partial<Pick<DeliveryRow, 'state' | 'attempts' | 'log' | 'nextAt' | 'endedAt'>>,
    ): Promise<void> {
      await db.update(webhookDeliveries).set(change).where(one(webhookId, eventId));
    },
    async findDelivery(webhookId: string, eventId: string): Promise<DeliveryRow | undefined> {
      const [row] = await db.select().from(webhookDeliveries).where(one(webhookId, eventId));
      return row;
    },
    /** Newest first. */
    async listDeliveries(webhookId: string, page: DeliveryPage): Promise<DeliveryRow[]> {
      const { beforeSeq, state, limit } = page;
      return await db
        .select()
        .from(webhookDeliveries)
        .where(
          and(
            eq(webhookDeliveries.webhookId, webhookId),
            beforeSeq === undefined ? undefined : lt(webhookDeliveries.seq, beforeSeq),
            state === undefined ? undefined : eq(webhookDeliveries.state, state),
          ),
        )
        .orderBy(desc(webhookDeliveries.seq))
        .limit(limit);
    },
    async countWaiting(webhookId: string): Promise<number> {
      const [row] = await db
        .select({ waiting: count() })
        .from(webhookDeliveries)
        .where(and(eq(webhookDeliveries.webhookId, webhookId), eq(webhookDeliveries.state, 'waiting')));
      return row?.waiting ?? 0;
    },
    /** Puts what ended in a span of time in line again, in its old order; gives how many. */
    async requeue(
      webhookId: string,
      span: { since: Date; until: Date; state?: DeliveryRow['state']; eventId?: string },
    ): Promise<number> {
      const { since, until, state, eventId } = span;
      const changed = await db
        .update(webhookDeliveries)
        .set({ state: 'waiting', attempts: 0, nextAt: sql`now()`, endedAt: null })
        .where(
          and(
            eq(webhookDeliveries.webhookId, webhookId),
            gte(webhookDeliveries.createdAt, since),
            lt(webhookDeliveries.createdAt, until),
            state === undefined ? undefined : eq(webhookDeliveries.state, state),
            eventId === undefined ? undefined : eq(webhookDeliveries.eventId, eventId),
          ),
        )
        .returning({ seq: webhookDeliveries.seq });
      return changed.length;
    },
    async removeEndedBefore(instant: Date): Promise<void> {
      await db.delete(webhookDeliveries).where(lt(webhookDeliveries.endedAt, instant));
    },
  };
}
