import { behind, type Executor, newestFirst } from '@millrace/database';
import { and, count, eq } from 'drizzle-orm';
import type { CreatedPage } from '../created-page.ts';
import type { TenantRow } from './tenant.table.ts';
import { tenants } from './tenant.table.ts';

export type TenantChange = Partial<Pick<TenantRow, 'note' | 'limits' | 'disabledAt'>>;

/** Reads and writes tenants; `db` is the pool or an open transaction. */
export function createTenantRepository(db: Executor) {
  return {
    /** Undefined when there is one of this id. */
    async insert(tenant: typeof tenants.$inferInsert): Promise<TenantRow | undefined> {
      const [made] = await db.insert(tenants).values(tenant).onConflictDoNothing().returning();
      return made;
    },
    async find(id: string): Promise<TenantRow | undefined> {
      const [row] = await db.select().from(tenants).where(eq(tenants.id, id));
      return row;
    },
    /** Newest first. */
    async list(page: CreatedPage & { tenant?: string }): Promise<TenantRow[]> {
      const own = page.tenant === undefined ? undefined : eq(tenants.id, page.tenant);
      return await db
        .select()
        .from(tenants)
        .where(and(behind(tenants, page.before), own))
        .orderBy(...newestFirst(tenants))
        .limit(page.limit);
    },
    async all(limit: number): Promise<TenantRow[]> {
      return await db.select().from(tenants).limit(limit);
    },
    async count(): Promise<number> {
      const [row] = await db.select({ tenants: count() }).from(tenants);
      return row?.tenants ?? 0;
    },
    async update(id: string, change: TenantChange): Promise<TenantRow | undefined> {
      const [row] = await db.update(tenants).set(change).where(eq(tenants.id, id)).returning();
      return row;
    },
  };
}
