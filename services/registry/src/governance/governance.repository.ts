import type { LiveStage, PolicySpec } from '@millrace/contracts';
import { newId } from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import { and, asc, eq, gt, inArray, sql } from 'drizzle-orm';
import type { ModelRow } from '../models/model.table.ts';
import type { VersionTables } from '../versions/version.table.ts';
import type { AllowedDigestRow, ApprovalRow, GovernanceTables } from './governance.table.ts';
import type { PolicyInForce } from './policy.ts';
import { wholePolicy } from './policy.ts';

/** What holds for a whole tenant. */
export type TenantRow = GovernanceTables['tenantGovernance']['$inferSelect'];

export type GovernanceRepository = ReturnType<typeof createGovernanceRepository>;

/** Reads and writes of policies, approvals and allow-lists. */
export function createGovernanceRepository(tables: GovernanceTables & Pick<VersionTables, 'modelVersions'>) {
  const { tenantGovernance, modelPolicies, approvals, allowedDigests, modelVersions } = tables;
  const approvalOf = (modelId: string, packageDigest: string) =>
    and(eq(approvals.modelId, modelId), eq(approvals.packageDigest, packageDigest));

  async function tenant(db: Executor, name: string): Promise<TenantRow | undefined> {
    const rows = await db.select().from(tenantGovernance).where(eq(tenantGovernance.tenant, name));
    return rows[0];
  }

  async function modelPolicy(db: Executor, modelId: string): Promise<PolicySpec | undefined> {
    const rows = await db.select().from(modelPolicies).where(eq(modelPolicies.modelId, modelId));
    return rows[0]?.policy;
  }

  return {
    tenant,
    modelPolicy,

    /** The row of a tenant, made if need be and locked until the transaction ends. */
    async lockTenant(tx: Executor, name: string): Promise<TenantRow> {
      await tx.insert(tenantGovernance).values({ tenant: name, chainId: newId() }).onConflictDoNothing();
      const [row] = await tx
        .select()
        .from(tenantGovernance)
        .where(eq(tenantGovernance.tenant, name))
        .for('update');
      return row as TenantRow;
    },

    /** The model's own policy, else that of its tenant. */
    async policyOf(db: Executor, model: Pick<ModelRow, 'id' | 'tenant'>): Promise<PolicyInForce> {
      const own = await modelPolicy(db, model.id);
      if (own !== undefined) return { policy: wholePolicy(own), source: 'model' };
      const shared = (await tenant(db, model.tenant))?.policy ?? null;
      return { policy: wholePolicy(shared), source: shared === null ? 'none' : 'tenant' };
    },

    setTenantPolicy: (tx: Executor, name: string, policy: PolicySpec | null) =>
      tx
        .update(tenantGovernance)
        .set({ policy, updatedAt: sql`now()` })
        .where(eq(tenantGovernance.tenant, name)),

    async setModelPolicy(tx: Executor, modelId: string, policy: PolicySpec | null, by: string) {
      if (policy === null)
        return void (await tx.delete(modelPolicies).where(eq(modelPolicies.modelId, modelId)));
      await tx
        .insert(modelPolicies)
        .values({ modelId, policy, updatedBy: by })
        .onConflictDoUpdate({
          target: modelPolicies.modelId,
          set: { policy, updatedBy: by, updatedAt: sql`now()` },
        });
    },

    /** Approvals of these bytes, oldest first. */
    approvals: (db: Executor, modelId: string, packageDigest: string): Promise<ApprovalRow[]> =>
      db
        .select()
        .from(approvals)
        .where(approvalOf(modelId, packageDigest))
        .orderBy(asc(approvals.approvedAt), asc(approvals.principal)),

    /** Everybody who registered these bytes under the model. */
    async registrants(db: Executor, modelId: string, packageDigest: string): Promise<string[]> {
      const rows = await db
        .selectDistinct({ by: modelVersions.createdBy })
        .from(modelVersions)
        .where(and(eq(modelVersions.packageDigest, packageDigest), eq(modelVersions.modelId, modelId)));
      return rows.map(({ by }) => by);
    },

    /** False when the same approval is there already. */
    async addApproval(tx: Executor, row: ApprovalRow): Promise<boolean> {
      const added = await tx
        .insert(approvals)
        .values(row)
        .onConflictDoNothing()
        .returning({ by: approvals.principal });
      return added.length > 0;
    },

    async removeApproval(
      tx: Executor,
      { modelId, packageDigest, stage, principal }: Omit<ApprovalRow, 'comment' | 'approvedAt'>,
    ): Promise<boolean> {
      const removed = await tx
        .delete(approvals)
        .where(
          and(
            approvalOf(modelId, packageDigest),
            eq(approvals.stage, stage),
            eq(approvals.principal, principal),
          ),
        )
        .returning({ by: approvals.principal });
      return removed.length > 0;
    },

    /** Entries for a stage, of these chains, that name one of the digests. */
    allowedFor: (
      db: Executor,
      chainIds: readonly string[],
      stage: LiveStage,
      digests: readonly string[],
    ): Promise<AllowedDigestRow[]> =>
      db
        .select()
        .from(allowedDigests)
        .where(
          and(
            inArray(allowedDigests.chainId, [...chainIds]),
            eq(allowedDigests.stage, stage),
            inArray(allowedDigests.digest, [...digests]),
          ),
        ),

    allowed: (
      db: Executor,
      chainId: string,
      options: { limit: number; stage: LiveStage; afterDigest?: string },
    ): Promise<AllowedDigestRow[]> =>
      db
        .select()
        .from(allowedDigests)
        .where(
          and(
            eq(allowedDigests.chainId, chainId),
            eq(allowedDigests.stage, options.stage),
            options.afterDigest === undefined ? undefined : gt(allowedDigests.digest, options.afterDigest),
          ),
        )
        .orderBy(asc(allowedDigests.digest))
        .limit(options.limit),

    async allow(tx: Executor, row: Omit<AllowedDigestRow, 'allowedAt'>): Promise<boolean> {
      const added = await tx
        .insert(allowedDigests)
        .values(row)
        .onConflictDoNothing()
        .returning({ digest: allowedDigests.digest });
      return added.length > 0;
    },

    async disallow(tx: Executor, chainId: string, stage: LiveStage, digest: string): Promise<boolean> {
      const removed = await tx
        .delete(allowedDigests)
        .where(
          and(
            eq(allowedDigests.chainId, chainId),
            eq(allowedDigests.stage, stage),
            eq(allowedDigests.digest, digest),
          ),
        )
        .returning({ digest: allowedDigests.digest });
      return removed.length > 0;
    },
  };
}
