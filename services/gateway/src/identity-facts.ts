import type { Outbox } from '@millrace/bus';
import {
  ApiKeyCreated,
  ApiKeyRevoked,
  PrincipalChanged,
  PrincipalCreated,
  TenantChanged,
  TenantCreated,
} from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import { PLATFORM_TENANT } from '@millrace/service-kit';
import type { ApiKeyRow } from './keys/key.table.ts';
import type { PrincipalRow } from './principals/principal.table.ts';
import type { TenantRow } from './tenants/tenant.table.ts';

type KeyFacts = Pick<ApiKeyRow, 'id' | 'principalId' | 'tenantId' | 'scopes' | 'roles' | 'expiresAt'>;

export type IdentityFacts = ReturnType<typeof createIdentityFacts>;

/** Tells of keys, principals and tenants that change, in the transaction of the change; `by` is who made it. */
export function createIdentityFacts(outbox: Outbox) {
  const ofPrincipal = ({ id, tenantId, roles, disabledAt }: PrincipalRow, by: string) => ({
    ...{ principal: id, tenant: tenantId, roles, disabled: disabledAt !== null, by },
  });
  const ofTenant = ({ id, limits, disabledAt }: TenantRow, by: string) => ({
    ...{ tenant: id, limits: { ...limits }, disabled: disabledAt !== null, by },
  });
  const ofKey = ({ id, principalId, tenantId }: KeyFacts, by: string) => ({
    ...{ keyId: id, principal: principalId, tenant: tenantId, by },
  });
  return {
    async keyCreated(tx: Executor, key: KeyFacts, by: string): Promise<void> {
      const { scopes, roles, expiresAt, tenantId: tenant } = key;
      const fact = { ...ofKey(key, by), scopes, roles, expiresAt: expiresAt?.toISOString() ?? null };
      await outbox.append(tx, ApiKeyCreated, key.id, fact, { tenant });
    },
    async keyRevoked(tx: Executor, key: KeyFacts, by: string): Promise<void> {
      await outbox.append(tx, ApiKeyRevoked, key.id, ofKey(key, by), { tenant: key.tenantId });
    },
    async principalCreated(tx: Executor, row: PrincipalRow, by: string): Promise<void> {
      await outbox.append(tx, PrincipalCreated, row.id, ofPrincipal(row, by), { tenant: row.tenantId });
    },
    async principalChanged(tx: Executor, row: PrincipalRow, by: string): Promise<void> {
      await outbox.append(tx, PrincipalChanged, row.id, ofPrincipal(row, by), { tenant: row.tenantId });
    },
    /** Of the platform, which alone makes tenants: nobody of the new one listens yet. */
    async tenantCreated(tx: Executor, row: TenantRow, by: string): Promise<void> {
      await outbox.append(tx, TenantCreated, row.id, ofTenant(row, by), { tenant: PLATFORM_TENANT });
    },
    async tenantChanged(tx: Executor, row: TenantRow, by: string): Promise<void> {
      await outbox.append(tx, TenantChanged, row.id, ofTenant(row, by), { tenant: row.id });
    },
  };
}
