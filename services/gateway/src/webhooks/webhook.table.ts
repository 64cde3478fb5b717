import { bytea } from '@millrace/database/columns';
import { sql } from 'drizzle-orm';
import { bigserial, index, integer, jsonb, primaryKey, text, timestamp, uuid } from 'drizzle-orm/pg-core';
import { gatewaySchema } from '../tenants/tenant.table.ts';

const instant = { withTimezone: true, precision: 3 } as const;

/** A signing secret, encrypted; an older one stays in use until its end. */
export type SealedSecret = {
  readonly sealed: string;
  readonly createdAt: string;
  readonly expiresAt: string | null;
};

/** One attempt to deliver, as the delivery log shows it. */
export type Attempt = {
  readonly at: string;
  readonly status: number | null;
  readonly latencyMs: number;
  readonly error: string | null;
  /** Beginning of the answer. */
  readonly answer: string;
};

/** Where events of a tenant are sent. */
export const webhooks = gatewaySchema.table(
  'webhooks',
  {
    id: uuid().primaryKey(),
    tenant: text().notNull(),
    url: text().notNull(),
    types: text().array().notNull(),
    note: text().notNull(),
    secrets: jsonb().$type<SealedSecret[]>().notNull(),
    createdAt: timestamp('created_at', instant).notNull().defaultNow(),
    createdBy: text('created_by').notNull(),
    disabledAt: timestamp('disabled_at', instant),
    disabledReason: text('disabled_reason'),
    /** When the first of the failures came that nothing succeeded since. */
    failingSince: timestamp('failing_since', instant),
    /** Until then one gateway serves it, or nobody does because its receiver is away. */
    heldUntil: timestamp('held_until', instant).notNull().defaultNow(),
  },
  (table) => [index('webhooks_tenant').on(table.tenant, table.createdAt, table.id)],
);

/** One event for one webhook: what waits and what was sent. */
export const webhookDeliveries = gatewaySchema.table(
  'webhook_deliveries',
  {
    webhookId: uuid('webhook_id')
      .notNull()
      .references(() => webhooks.id, { onDelete: 'cascade' }),
    eventId: text('event_id').notNull(),
    /** The order in which the events came. */
    seq: bigserial({ mode: 'number' }).notNull(),
    type: text().notNull(),
    /** The very bytes that are signed and sent each time. */
    payload: bytea().notNull(),
    state: text().$type<'waiting' | 'delivered' | 'failed'>().notNull().default('waiting'),
    attempts: integer().notNull().default(0),
    log: jsonb().$type<Attempt[]>().notNull().default([]),
    createdAt: timestamp('created_at', instant).notNull().defaultNow(),
    nextAt: timestamp('next_at', instant).notNull().defaultNow(),
    endedAt: timestamp('ended_at', instant),
  },
  (table) => [
    primaryKey({ columns: [table.webhookId, table.eventId] }),
    index('webhook_deliveries_seq').on(table.webhookId, table.seq),
    index('webhook_deliveries_waiting').on(table.webhookId, table.seq).where(sql`state = 'waiting'`),
    index('webhook_deliveries_created').on(table.createdAt),
  ],
);

export type WebhookRow = typeof webhooks.$inferSelect;
export type DeliveryRow = typeof webhookDeliveries.$inferSelect;
