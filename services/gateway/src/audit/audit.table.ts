import { bigint, index, integer, primaryKey, text, timestamp } from 'drizzle-orm/pg-core';
import { gatewaySchema } from '../tenants/tenant.table.ts';

const instant = { withTimezone: true, precision: 3 } as const;

/** Who did what: one chain of hashes a tenant. A trigger refuses changes, and deletions of rows after the cut. */
export const auditLog = gatewaySchema.table(
  'audit_log',
  {
    tenant: text().notNull(),
    seq: bigint({ mode: 'number' }).notNull(),
    at: timestamp(instant).notNull(),
    kind: text().notNull(),
    principal: text().notNull(),
    method: text().notNull(),
    route: text().notNull(),
    resource: text().notNull(),
    status: integer().notNull(),
    code: text(),
    requestId: text('request_id').notNull(),
    remoteAddress: text('remote_address').notNull(),
    prevHash: text('prev_hash').notNull(),
    hash: text().notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.tenant, table.seq] }),
    index('audit_log_principal').on(table.tenant, table.principal, table.seq),
  ],
);

/** The end of each chain, and where it begins now that older rows were removed. */
export const auditHeads = gatewaySchema.table('audit_heads', {
  tenant: text().primaryKey(),
  seq: bigint({ mode: 'number' }).notNull(),
  hash: text().notNull(),
  /** The last row that was removed because it was too old. */
  cutSeq: bigint('cut_seq', { mode: 'number' }).notNull(),
  cutHash: text('cut_hash').notNull(),
});

/** What a tenant used in an hour. */
export const usageHours = gatewaySchema.table(
  'usage_hours',
  {
    tenant: text().notNull(),
    hour: timestamp(instant).notNull(),
    requests: bigint({ mode: 'number' }).notNull(),
    predictions: bigint({ mode: 'number' }).notNull(),
    refused: bigint({ mode: 'number' }).notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenant, table.hour] })],
);

export type AuditRow = typeof auditLog.$inferSelect;
