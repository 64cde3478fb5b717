import { index, pgSchema, text, timestamp } from 'drizzle-orm/pg-core';

export const gatewaySchema = pgSchema('gateway');

/** Whose data is kept apart from others'. */
export const tenants = gatewaySchema.table('tenants', {
  id: text().primaryKey(),
  createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
});

/** People and programs that act; each belongs to one tenant. */
export const principals = gatewaySchema.table('principals', {
  id: text().primaryKey(),
  tenantId: text('tenant_id')
    .notNull()
    .references(() => tenants.id),
  createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
});

/** API keys; only the SHA-256 of each is kept. */
export const apiKeys = gatewaySchema.table(
  'api_keys',
  {
    id: text().primaryKey(),
    sha256: text().notNull(),
    principalId: text('principal_id')
      .notNull()
      .references(() => principals.id),
    note: text().notNull(),
    scopes: text().array().notNull(),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
    createdBy: text('created_by').notNull(),
    expiresAt: timestamp('expires_at', { withTimezone: true }),
    revokedAt: timestamp('revoked_at', { withTimezone: true }),
  },
  (table) => [index('api_keys_created').on(table.createdAt, table.id)],
);

export type ApiKeyRow = typeof apiKeys.$inferSelect & { tenantId: string };
