import type { Executor } from '@millrace/database';
import { and, count, desc, eq, getTableColumns, gt, isNull, or, sql } from 'drizzle-orm';
import type { ApiKeyRow } from './key.table.ts';
import { apiKeys, principals, tenants } from './key.table.ts';

type NewKey = typeof apiKeys.$inferInsert;

/** Reads and writes API keys with their principals; `db` is the pool or an open transaction. */
export function createKeyRepository(db: Executor) {
  const rows = () =>
    db
      .select({ ...getTableColumns(apiKeys), tenantId: principals.tenantId })
      .from(apiKeys)
      .innerJoin(principals, eq(principals.id, apiKeys.principalId));
  const isActive = () =>
    and(isNull(apiKeys.revokedAt), or(isNull(apiKeys.expiresAt), gt(apiKeys.expiresAt, sql`now()`)));

  return {
    /** Makes the tenant and the principal when they are new; a principal stays in its first tenant. */
    async ensurePrincipal(id: string, tenantId: string): Promise<{ tenantId: string }> {
      await db.insert(tenants).values({ id: tenantId }).onConflictDoNothing();
      await db.insert(principals).values({ id, tenantId }).onConflictDoNothing();
      const [row] = await db.select().from(principals).where(eq(principals.id, id));
      return { tenantId: row?.tenantId ?? tenantId };
    },
    async insert(key: NewKey): Promise<void> {
      await db.insert(apiKeys).values(key);
    },
    /** Puts a key whose secret is kept elsewhere; a changed secret replaces the old one and lifts a revocation. */
    async upsert(key: NewKey): Promise<void> {
      await db
        .insert(apiKeys)
        .values(key)
        .onConflictDoUpdate({
          target: apiKeys.id,
          set: { sha256: key.sha256, revokedAt: null, expiresAt: null },
          setWhere: sql`${apiKeys.sha256} <> ${key.sha256}`,
        });
    },
    async find(id: string): Promise<ApiKeyRow | undefined> {
      const [row] = await rows().where(eq(apiKeys.id, id));
      return row;
    },
    /** Newest first. */
    async list(page: { limit: number; before?: { createdAt: Date; id: string } }): Promise<ApiKeyRow[]> {
      const { before } = page;
      const where =
        before === undefined
          ? undefined
          : sql`(${apiKeys.createdAt}, ${apiKeys.id}) < (${before.createdAt.toISOString()}::timestamptz, ${before.id})`;
      return await rows().where(where).orderBy(desc(apiKeys.createdAt), desc(apiKeys.id)).limit(page.limit);
    },
    async listActive(limit: number): Promise<ApiKeyRow[]> {
      return await rows().where(isActive()).limit(limit);
    },
    async countActive(): Promise<number> {
      const [row] = await db.select({ keys: count() }).from(apiKeys).where(isActive());
      return row?.keys ?? 0;
    },
    /** Revokes a key; a revoked one keeps its first time. False when there is none of this id. */
    async revoke(id: string): Promise<boolean> {
      const changed = await db
        .update(apiKeys)
        .set({ revokedAt: sql`coalesce(${apiKeys.revokedAt}, now())` })
        .where(eq(apiKeys.id, id))
        .returning({ id: apiKeys.id });
      return changed.length > 0;
    },
  };
}
