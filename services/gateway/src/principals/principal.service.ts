import { AppError } from '@millrace/contracts';
import type { Database, Executor } from '@millrace/database';
import { advisoryKey } from '@millrace/database';
import type { Principal, Role } from '@millrace/service-kit';
import { DISABLED_PRINCIPALS_MAX } from '@millrace/service-kit';
import { sql } from 'drizzle-orm';
import type { CreatedPage } from '../created-page.ts';
import type { IdentityFacts } from '../identity-facts.ts';
import { createTenantRepository } from '../tenants/tenant.repository.ts';
import { canSee, tenantFilter, tenantFor } from '../tenants/tenant-access.ts';
import { createPrincipalRepository } from './principal.repository.ts';
import type { PrincipalRow } from './principal.table.ts';

/** Principals one tenant may have. */
const PRINCIPALS_OF_TENANT_MAX = 10_000;

export type NewPrincipal = { id: string; tenant?: string; roles: readonly Role[]; note?: string };
export type PrincipalRequest = { roles?: readonly Role[]; note?: string; disabled?: boolean };

export type PrincipalService = ReturnType<typeof createPrincipalService>;

/** The rules for principals; each waits for `onChanged`, which makes it count here. */
export function createPrincipalService(deps: {
  database: Database;
  facts: IdentityFacts;
  onChanged: () => Promise<void>;
}) {
  const { database, facts, onChanged } = deps;
  const principals = createPrincipalRepository(database.db);

  async function inTenant<T>(tenant: string, work: (tx: Executor) => Promise<T>): Promise<T> {
    return await database.transaction(async (tx) => {
      await lockTenant(tx, tenant);
      return await work(tx);
    });
  }

  return {
    /** Throws `principal_exists`, `tenant_not_found`, `tenant_forbidden` or `identity_limit_reached`. */
    async create(request: NewPrincipal, by: Principal): Promise<PrincipalRow> {
      assertOfToken(request.id, request.roles);
      const tenantId = tenantFor(by, request.tenant);
      await inTenant(tenantId, async (tx) => {
        await assertTenant(tx, tenantId);
        const repository = createPrincipalRepository(tx);
        if ((await repository.countOf(tenantId)) >= PRINCIPALS_OF_TENANT_MAX)
          throw new AppError(
            'identity_limit_reached',
            `The tenant '${tenantId}' has ${PRINCIPALS_OF_TENANT_MAX} principals, as many as it may.`,
          );
        const { id, note = '' } = request;
        const roles = [...new Set(request.roles)];
        const made = await repository.insert({ id, tenantId, roles, note, createdBy: by.id });
        if (made === undefined)
          throw new AppError(
            'principal_exists',
            `There is a principal '${id}' already; change it with PATCH.`,
          );
        await facts.principalCreated(tx, made, by.id);
      });
      await onChanged();
      return await this.get(request.id, by);
    },
    async list(page: CreatedPage & { tenant?: string }, by: Principal): Promise<PrincipalRow[]> {
      const { tenant: wanted, ...rest } = page;
      const tenant = tenantFilter(by, wanted);
      return await principals.list({ ...rest, ...(tenant !== undefined && { tenant }) });
    },
    /** Throws `principal_not_found`, also for one of a tenant that is not the caller's. */
    async get(id: string, by: Principal): Promise<PrincipalRow> {
      const row = await principals.find(id);
      if (row !== undefined && canSee(by, row.tenantId)) return row;
      throw new AppError(
        'principal_not_found',
        `There is no principal '${id}'; GET /v1/principals lists them.`,
      );
    },
    /** Changes what is named; disabling takes all keys of the principal out of use. Throws `last_admin`. */
    async change(id: string, request: PrincipalRequest, by: Principal): Promise<PrincipalRow> {
      const { tenantId } = await this.get(id, by);
      await inTenant(tenantId, async (tx) => {
        const repository = createPrincipalRepository(tx);
        // read again under the lock: another change may have come between
        const before = (await repository.find(id)) as PrincipalRow;
        assertOfToken(id, request.roles);
        const { note, roles, disabled } = request;
        const isAdminAfter =
          (roles ?? before.roles ?? []).includes('admin') && !(disabled ?? before.disabledAt !== null);
        if (isAdmin(before) && !isAdminAfter && (await repository.countOtherAdmins(tenantId, id)) === 0)
          throw new AppError(
            'last_admin',
            `'${id}' is the last admin of the tenant '${tenantId}'; make another principal admin first.`,
          );
        if (disabled === true) await assertDisablable(repository);
        const change = {
          ...(note !== undefined && { note }),
          ...(roles !== undefined && { roles: [...new Set(roles)] }),
          ...(disabled !== undefined && { disabledAt: disabled ? (before.disabledAt ?? new Date()) : null }),
        };
        if (Object.keys(change).length === 0) return;
        const row = await repository.update(id, change);
        if (row !== undefined) await facts.principalChanged(tx, row, by.id);
      });
      await onChanged();
      return await this.get(id, by);
    },
  };
}

/** Everything that decides who is admin of a tenant is done one after the other. */
async function lockTenant(tx: Executor, tenant: string): Promise<void> {
  await tx.execute(sql`select pg_advisory_xact_lock(${advisoryKey(`gateway:principals:${tenant}`)}::bigint)`);
}

/** Throws `tenant_not_found`. */
async function assertTenant(tx: Executor, id: string): Promise<void> {
  if ((await createTenantRepository(tx).find(id)) === undefined)
    throw new AppError('tenant_not_found', `There is no tenant '${id}'; make it with POST /v1/tenants.`);
}

/** The disabled ones that come with tokens are listed in the signed key set, which has a bound. */
async function assertDisablable(repository: ReturnType<typeof createPrincipalRepository>): Promise<void> {
  if ((await repository.disabledOfIssuers(DISABLED_PRINCIPALS_MAX)).length < DISABLED_PRINCIPALS_MAX) return;
  throw new AppError(
    'identity_limit_reached',
    `${DISABLED_PRINCIPALS_MAX} principals of identity providers are disabled; remove some at their provider instead.`,
  );
}

/** Somebody who comes with a token has the roles that the token gives; here they can only be disabled. */
function assertOfToken(id: string, roles: readonly Role[] | undefined): void {
  if (!id.includes(':') || roles === undefined || roles.length === 0) return;
  throw new AppError(
    'invalid_request',
    `'${id}' comes with tokens of an identity provider, which give the roles; send an empty list.`,
  );
}

const isAdmin = (row: PrincipalRow): boolean =>
  row.disabledAt === null && row.roles !== null && row.roles.includes('admin');
