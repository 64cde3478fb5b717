import type { LiveStage, PolicySpec } from '@millrace/contracts';
import type { PgSchema } from 'drizzle-orm/pg-core';
import { index, jsonb, primaryKey, text, timestamp, uuid } from 'drizzle-orm/pg-core';
import type { ModelTables } from '../models/model.table.ts';

/** Policies, approvals and the digests that policy lets through. */
export function createGovernanceTables<Name extends string>(
  schema: PgSchema<Name>,
  models: ModelTables['models'],
) {
  /** What holds for all models of a tenant, and the chain in which changes of that are kept. */
  const tenantGovernance = schema.table('tenant_governance', {
    tenant: text().primaryKey(),
    /** Where the history of the tenant is kept, beside those of models. */
    chainId: uuid('chain_id').notNull().unique(),
    policy: jsonb().$type<PolicySpec>(),
    updatedAt: timestamp('updated_at', { withTimezone: true }).notNull().defaultNow(),
  });
  const modelPolicies = schema.table('model_policies', {
    modelId: uuid('model_id')
      .primaryKey()
      .references(() => models.id, { onDelete: 'cascade' }),
    policy: jsonb().$type<PolicySpec>().notNull(),
    updatedAt: timestamp('updated_at', { withTimezone: true }).notNull().defaultNow(),
    updatedBy: text('updated_by').notNull(),
  });
  /** Bound to the bytes: a version with other bytes begins without approvals. */
  const approvals = schema.table(
    'approvals',
    {
      modelId: uuid('model_id')
        .notNull()
        .references(() => models.id, { onDelete: 'cascade' }),
      packageDigest: text('package_digest').notNull(),
      stage: text().$type<LiveStage>().notNull(),
      principal: text().notNull(),
      comment: text().notNull(),
      approvedAt: timestamp('approved_at', { withTimezone: true }).notNull(),
    },
    (table) => [primaryKey({ columns: [table.modelId, table.packageDigest, table.stage, table.principal] })],
  );
  /** Package or model digests that may be in a stage; of all models of the tenant, or of the chain's model. */
  const allowedDigests = schema.table(
    'allowed_digests',
    {
      /** The model, or the chain of the tenant. */
      chainId: uuid('chain_id').notNull(),
      stage: text().$type<LiveStage>().notNull(),
      digest: text().notNull(),
      comment: text().notNull(),
      allowedBy: text('allowed_by').notNull(),
      allowedAt: timestamp('allowed_at', { withTimezone: true }).notNull().defaultNow(),
    },
    (table) => [
      primaryKey({ columns: [table.chainId, table.stage, table.digest] }),
      index('allowed_digests_digest').on(table.digest),
    ],
  );
  return { tenantGovernance, modelPolicies, approvals, allowedDigests };
}

export type GovernanceTables = ReturnType<typeof createGovernanceTables<string>>;
export type ApprovalRow = GovernanceTables['approvals']['$inferSelect'];
export type AllowedDigestRow = GovernanceTables['allowedDigests']['$inferSelect'];
