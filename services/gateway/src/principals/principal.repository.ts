import { behind, type Executor, newestFirst } from '@millrace/database';
import { and, arrayContains, count, eq, isNotNull, isNull, like, ne } from 'drizzle-orm';
import type { CreatedPage } from '../created-page.ts';
import type { PrincipalRow } from './principal.table.ts';
import { principals } from './principal.table.ts';

export type PrincipalChange = Partial<Pick<PrincipalRow, 'note' | 'roles' | 'disabledAt'>>;

/** Reads and writes principals; `db` is the pool or an open transaction. */
export function createPrincipalRepository(db: Executor) {
  const tenantIs = (tenant: string | undefined) =>
    tenant === undefined ? undefined : eq(principals.tenantId, tenant);
  return {
    /** Undefined when there is one of this id. */
    async insert(principal: typeof principals.$inferInsert): Promise<PrincipalRow | undefined> {
      const [made] = await db.insert(principals).values(principal).onConflictDoNothing().returning();
      return made;
    },
    async find(id: string): Promise<PrincipalRow | undefined> {
      const [row] = await db.select().from(principals).where(eq(principals.id, id));
      return row;
    },
    /** Newest first. */
    async list(page: CreatedPage & { tenant?: string }): Promise<PrincipalRow[]> {
      return await db
        .select()
        .from(principals)
        .where(and(behind(principals, page.before), tenantIs(page.tenant)))
        .orderBy(...newestFirst(principals))
        .limit(page.limit);
    },
    async countOf(tenant: string): Promise<number> {
      const [row] = await db.select({ principals: count() }).from(principals).where(tenantIs(tenant));
      return row?.principals ?? 0;
    },
    /** Admins of a tenant that are not disabled, without the one named. */
    async countOtherAdmins(tenant: string, id: string): Promise<number> {
      const [row] = await db
        .select({ admins: count() })
        .from(principals)
        .where(
          and(
            tenantIs(tenant),
            ne(principals.id, id),
            isNull(principals.disabledAt),
            arrayContains(principals.roles, ['admin']),
          ),
        );
      return row?.admins ?? 0;
    },
    /** Ids of disabled principals that come with tokens of an identity provider: `<issuer>:<subject>`. */
    async disabledOfIssuers(limit: number): Promise<string[]> {
      const rows = await db
        .select({ id: principals.id })
        .from(principals)
        .where(and(isNotNull(principals.disabledAt), like(principals.id, '%:%')))
        .limit(limit);
      return rows.map(({ id }) => id);
    },
    async update(id: string, change: PrincipalChange): Promise<PrincipalRow | undefined> {
      const [row] = await db.update(principals).set(change).where(eq(principals.id, id)).returning();
      return row;
    },
  };
}
