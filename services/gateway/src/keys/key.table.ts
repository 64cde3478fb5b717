import { index, text, timestamp } from 'drizzle-orm/pg-core';
import { principals } from '../principals/principal.table.ts';
import { gatewaySchema } from '../tenants/tenant.table.ts';

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
    roles: text().array().notNull().default([]),
    createdAt: timestamp('created_at', { withTimezone: true, precision: 3 }).notNull().defaultNow(),
    createdBy: text('created_by').notNull(),
    expiresAt: timestamp('expires_at', { withTimezone: true }),
    revokedAt: timestamp('revoked_at', { withTimezone: true }),
  },
  (table) => [index('api_keys_created').on(table.createdAt, table.id)],
);

/** A key with what its principal adds. */
export type ApiKeyRow = typeof apiKeys.$inferSelect & { tenantId: string; principalRoles: string[] | null };
