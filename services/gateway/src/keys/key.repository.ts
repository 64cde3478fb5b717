import { behind, type Executor, newestFirst } from '@millrace/database';
import { and, count, eq, getTableColumns, gt, inArray, isNull, or, sql } from 'drizzle-orm';
import type { CreatedPage } from '../created-page.ts';
import type { PrincipalRow } from '../principals/principal.table.ts';
import { principals } from '../principals/principal.table.ts';
import { tenants } from '../tenants/tenant.table.ts';
import type { ApiKeyRow } from './key.table.ts';
import { apiKeys } from './key.table.ts';

type NewKey = typeof apiKeys.$inferInsert;

/** Reads and writes API keys with their principals; `db` is the pool or an open transaction. */
export function createKeyRepository(db: Executor) {
  const rows = () =>
    db
      .select({
        ...getTableColumns(apiKeys),
        tenantId: principals.tenantId,
        principalRoles: principals.roles,
      })
      .from(apiKeys)
      .innerJoin(principals, eq(principals.id, apiKeys.principalId))
      .innerJoin(tenants, eq(tenants.id, principals.tenantId));
  const isActive = () =>
    and(isNull(apiKeys.revokedAt), or(isNull(apiKeys.expiresAt), gt(apiKeys.expiresAt, sql`now()`)));

  return {
    /** Makes the principal when it is new; it then has no roles of its own. */
    async ensurePrincipal(
      id: string,
      tenantId: string,
      createdBy: string,
    ): Promise<{ principal: PrincipalRow; isNew: boolean }> {
      const [made] = await db
        .insert(principals)
        .values({ id, tenantId, createdBy })
        .onConflictDoNothing()
        .returning();
      if (made !== undefined) return { principal: made, isNew: true };
      const [row] = await db.select().from(principals).where(eq(principals.id, id));
      return { principal: row as PrincipalRow, isNew: false };
    },
    /** Makes the platform's own tenant and its first admin; both stay as they are when they are there. */
    async ensureAdmin(id: string, tenantId: string): Promise<void> {
      await db.insert(tenants).values({ id: tenantId }).onConflictDoNothing();
      await db
        .insert(principals)
        .values({ id, tenantId, roles: ['admin'] })
        .onConflictDoNothing();
      await db
        .update(principals)
        .set({ roles: ['admin'] })
        .where(and(eq(principals.id, id), isNull(principals.roles)));
    },
    async insert(key: NewKey): Promise<void> {
      await db.insert(apiKeys).values(key);
    },
    /**
     * Puts a key whose secret is kept elsewhere; a changed secret replaces the old one and lifts a revocation. False
     * when it was there already.
     */
    async upsert(key: NewKey): Promise<boolean> {
      const put = await db
        .insert(apiKeys)
        .values(key)
        .onConflictDoUpdate({
          target: apiKeys.id,
          set: { sha256: key.sha256, revokedAt: null, expiresAt: null },
          setWhere: sql`${apiKeys.sha256} <> ${key.sha256}`,
        })
        .returning({ id: apiKeys.id });
      return put.length > 0;
    },
    async find(id: string): Promise<ApiKeyRow | undefined> {
      const [row] = await rows().where(eq(apiKeys.id, id));
      return row;
    },
    /** Newest first. */
    async list(page: CreatedPage & { tenant?: string }): Promise<ApiKeyRow[]> {
      const own = page.tenant === undefined ? undefined : eq(principals.tenantId, page.tenant);
      return await rows()
        .where(and(behind(apiKeys, page.before), own))
        .orderBy(...newestFirst(apiKeys))
        .limit(page.limit);
    },
    /** Keys that work now: neither they nor their principal nor its tenant are out of use. */
    async listActive(limit: number): Promise<ApiKeyRow[]> {
      return await rows()
        .where(and(isActive(), isNull(principals.disabledAt), isNull(tenants.disabledAt)))
        .limit(limit);
    },
    /** Whether any of these keys works now. */
    async anyActive(ids: readonly string[]): Promise<boolean> {
      const works = and(isActive(), isNull(principals.disabledAt), isNull(tenants.disabledAt));
      const found = await rows()
        .where(and(inArray(apiKeys.id, [...ids]), works))
        .limit(1);
      return found.length > 0;
    },
    /** Keys that are neither revoked nor expired, of all tenants or of one. */
    async countActive(tenant?: string): Promise<number> {
      const [row] = await db
        .select({ keys: count() })
        .from(apiKeys)
        .innerJoin(principals, eq(principals.id, apiKeys.principalId))
        .where(and(isActive(), tenant === undefined ? undefined : eq(principals.tenantId, tenant)));
      return row?.keys ?? 0;
    },
    /** Revokes a key; a revoked one keeps its first time. False when there is none to revoke. */
    async revoke(id: string): Promise<boolean> {
      const changed = await db
        .update(apiKeys)
        .set({ revokedAt: sql`now()` })
        .where(and(eq(apiKeys.id, id), isNull(apiKeys.revokedAt)))
        .returning({ id: apiKeys.id });
      return changed.length > 0;
    },
  };
}
