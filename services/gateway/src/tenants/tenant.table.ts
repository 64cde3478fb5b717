import type { TenantQuota } from '@millrace/contracts';
import { index, jsonb, pgSchema, text, timestamp } from 'drizzle-orm/pg-core';

export const gatewaySchema = pgSchema('gateway');

/** Bounds on what a tenant may use; an absent one is no bound. Requests are counted here, the rest by its services. */
export type TenantLimits = TenantQuota & {
  readonly requestsPerSecond?: number;
  readonly concurrentRequests?: number;
};

/** Whose data is kept apart from others'. A tenant is disabled but never deleted: its name stays on its data. */
export const tenants = gatewaySchema.table(
  'tenants',
  {
    id: text().primaryKey(),
    note: text().notNull().default(''),
    limits: jsonb().$type<TenantLimits>().notNull().default({}),
    createdAt: timestamp('created_at', { withTimezone: true, precision: 3 }).notNull().defaultNow(),
    createdBy: text('created_by').notNull().default('launcher'),
    disabledAt: timestamp('disabled_at', { withTimezone: true }),
  },
  (table) => [index('tenants_created').on(table.createdAt, table.id)],
);

export type TenantRow = typeof tenants.$inferSelect;
