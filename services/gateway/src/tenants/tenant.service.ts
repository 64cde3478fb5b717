import { AppError } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { advisoryKey } from '@millrace/database';
import type { Principal } from '@millrace/service-kit';
import { PLATFORM_TENANT, TENANTS_MAX } from '@millrace/service-kit';
import { sql } from 'drizzle-orm';
import type { CreatedPage } from '../created-page.ts';
import type { IdentityFacts } from '../identity-facts.ts';
import type { TenantChange } from './tenant.repository.ts';
import { createTenantRepository } from './tenant.repository.ts';
import type { TenantLimits, TenantRow } from './tenant.table.ts';
import { canSee, tenantFilter, tenantFor } from './tenant-access.ts';

export type TenantRequest = { note?: string; limits?: TenantLimits; disabled?: boolean };

export type TenantService = ReturnType<typeof createTenantService>;

/** The rules for tenants; each waits for `onChanged`, which makes it count here. */
export function createTenantService(deps: {
  database: Database;
  facts: IdentityFacts;
  onChanged: () => Promise<void>;
}) {
  const { database, facts, onChanged } = deps;
  const tenants = createTenantRepository(database.db);
  return {
    /** Throws `tenant_exists`, `tenant_forbidden` or `identity_limit_reached`. */
    async create(request: TenantRequest & { id: string }, by: Principal): Promise<TenantRow> {
      tenantFor(by, request.id);
      await database.transaction(async (tx) => {
        const repository = createTenantRepository(tx);
        await tx.execute(sql`select pg_advisory_xact_lock(${advisoryKey('gateway:tenants')}::bigint)`);
        if ((await repository.count()) >= TENANTS_MAX)
          throw new AppError(
            'identity_limit_reached',
            `There are ${TENANTS_MAX} tenants, as many as the platform holds.`,
          );
        const { id, note = '', limits = {} } = request;
        const made = await repository.insert({ id, note, limits, createdBy: by.id });
        if (made === undefined)
          throw new AppError('tenant_exists', `There is a tenant '${id}' already; change it with PATCH.`);
        await facts.tenantCreated(tx, made, by.id);
      });
      await onChanged();
      return await this.get(request.id, by);
    },
    list: async (page: CreatedPage, by: Principal): Promise<TenantRow[]> => {
      const tenant = tenantFilter(by, undefined);
      return await tenants.list({ ...page, ...(tenant !== undefined && { tenant }) });
    },
    /** Throws `tenant_not_found`, also for a tenant that is not the caller's. */
    async get(id: string, by: Principal): Promise<TenantRow> {
      const row = canSee(by, id) ? await tenants.find(id) : undefined;
      if (row === undefined)
        throw new AppError('tenant_not_found', `There is no tenant '${id}'; GET /v1/tenants lists them.`);
      return row;
    },
    /**
     * Changes what is named; only admins of the platform do, or a tenant would lift its own bounds.
     * Throws `tenant_not_found`, `tenant_forbidden` or `invalid_request`.
     */
    async change(id: string, request: TenantRequest, by: Principal): Promise<TenantRow> {
      const before = await this.get(id, by);
      if (by.tenant !== PLATFORM_TENANT)
        throw new AppError(
          'tenant_forbidden',
          `The bounds of a tenant are set by the admins of '${PLATFORM_TENANT}'; ask one of them.`,
        );
      if (id === PLATFORM_TENANT && request.disabled === true)
        throw new AppError('invalid_request', `The platform's own tenant '${id}' cannot be disabled.`);
      const { note, limits, disabled } = request;
      const change: TenantChange = {
        ...(note !== undefined && { note }),
        ...(limits !== undefined && { limits }),
        ...(disabled !== undefined && { disabledAt: disabled ? (before.disabledAt ?? new Date()) : null }),
      };
      if (Object.keys(change).length > 0) {
        await database.transaction(async (tx) => {
          const row = await createTenantRepository(tx).update(id, change);
          if (row !== undefined) await facts.tenantChanged(tx, row, by.id);
        });
      }
      await onChanged();
      return await this.get(id, by);
    },
  };
}
