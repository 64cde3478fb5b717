import { index, text, timestamp } from 'drizzle-orm/pg-core';
import { gatewaySchema, tenants } from '../tenants/tenant.table.ts';

/** People and programs that act; each belongs to one tenant. */
export const principals = gatewaySchema.table(
  'principals',
  {
    id: text().primaryKey(),
    tenantId: text('tenant_id')
      .notNull()
      .references(() => tenants.id),
    /** Bound what the keys of the principal may do; null: each key says for itself, as where it came first. */
    roles: text().array(),
    note: text().notNull().default(''),
    createdAt: timestamp('created_at', { withTimezone: true, precision: 3 }).notNull().defaultNow(),
    createdBy: text('created_by').notNull().default('launcher'),
    disabledAt: timestamp('disabled_at', { withTimezone: true }),
  },
  (table) => [index('principals_tenant').on(table.tenantId, table.createdAt, table.id)],
);

export type PrincipalRow = typeof principals.$inferSelect;
