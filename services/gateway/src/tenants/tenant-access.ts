import { AppError } from '@millrace/contracts';
import type { Principal } from '@millrace/service-kit';
import { PLATFORM_TENANT } from '@millrace/service-kit';

/** The tenant a change is made in: the one named, else the caller's own. Throws `tenant_forbidden`. */
export function tenantFor(by: Principal, wanted: string | undefined): string {
  const tenant = wanted ?? by.tenant;
  if (tenant === by.tenant || by.tenant === PLATFORM_TENANT) return tenant;
  throw new AppError(
    'tenant_forbidden',
    `You are of the tenant '${by.tenant}' and cannot look after '${tenant}'; an admin of '${PLATFORM_TENANT}' can.`,
  );
}

/** The tenant a list is bounded to; undefined: all of them, for admins of the platform who name none. */
export function tenantFilter(by: Principal, wanted: string | undefined): string | undefined {
  if (wanted === undefined && by.tenant === PLATFORM_TENANT) return undefined;
  return tenantFor(by, wanted);
}

/** Whether somebody may see what belongs to a tenant. */
export function canSee(by: Principal, tenant: string): boolean {
  return by.tenant === PLATFORM_TENANT || by.tenant === tenant;
}
