import { AppError } from '@millrace/contracts';
import type { Database, Executor } from '@millrace/database';
import { advisoryKey } from '@millrace/database';
import type { KeySet, Principal, Role, Scope } from '@millrace/service-kit';
import {
  apiKeyId,
  apiKeySha256,
  boundedScopes,
  createApiKey,
  isScope,
  KEY_SET_KEYS_MAX,
  PLATFORM_TENANT,
  scopes,
  scopesOfRoles,
} from '@millrace/service-kit';
import { sql } from 'drizzle-orm';
import type { CreatedPage } from '../created-page.ts';
import type { IdentityFacts } from '../identity-facts.ts';
import type { PrincipalRow } from '../principals/principal.table.ts';
import { createTenantRepository } from '../tenants/tenant.repository.ts';
import { canSee, tenantFilter, tenantFor } from '../tenants/tenant-access.ts';
import { createKeyRepository } from './key.repository.ts';
import type { ApiKeyRow } from './key.table.ts';

export type NewApiKey = {
  principal: string;
  tenant?: string;
  scopes?: readonly Scope[];
  roles?: readonly Role[];
  note?: string;
  expiresAt?: string;
};

export type KeyService = {
  /**
   * Makes a key; its text is in the answer and nowhere else. Throws `key_limit_reached`, `scope_missing`,
   * `tenant_not_found`, `tenant_forbidden` or `principal_disabled`.
   */
  create(request: NewApiKey, by: Principal): Promise<{ row: ApiKeyRow; key: string }>;
  list(page: CreatedPage & { tenant?: string }, by: Principal): Promise<ApiKeyRow[]>;
  /** Also the last key of an admin: one that was stolen must be stopped. Throws `key_not_found`. */
  revoke(id: string, by: Principal): Promise<ApiKeyRow>;
  /** Makes the first admin key, whose text the launcher wrote to a file. */
  bootstrap(token: string): Promise<void>;
  /** Whether any of these is the id of a key that is valid now. */
  anyValid(ids: readonly string[]): Promise<boolean>;
  /** All keys that are valid now. */
  activeKeys(): Promise<KeySet['keys']>;
};

/** The rules for API keys; each waits for `onChanged`, which makes it count here. */
export function createKeyService(deps: {
  database: Database;
  facts: IdentityFacts;
  onChanged: () => Promise<void>;
}): KeyService {
  const { database, facts, onChanged } = deps;
  const keys = createKeyRepository(database.db);
  const found = async (id: string, by?: Principal): Promise<ApiKeyRow> => {
    const row = await keys.find(id);
    if (row === undefined || (by !== undefined && !canSee(by, row.tenantId)))
      throw new AppError('key_not_found', `There is no API key '${id}'; GET /v1/keys lists them.`);
    return row;
  };
  return {
    async create(request, by) {
      const tenant = tenantFor(by, request.tenant);
      const made = createApiKey();
      await database.transaction(async (tx) => {
        const repository = createKeyRepository(tx);
        await tx.execute(sql`select pg_advisory_xact_lock(${advisoryKey('gateway:keys')}::bigint)`);
        if ((await repository.countActive()) >= KEY_SET_KEYS_MAX) {
          throw new AppError(
            'key_limit_reached',
            `There are ${KEY_SET_KEYS_MAX} valid API keys; revoke some first.`,
          );
        }
        await assertTenantInUse(tx, tenant);
        const { principal, isNew } = await repository.ensurePrincipal(request.principal, tenant, by.id);
        assertMayHaveKey(principal, tenant);
        if (isNew) await facts.principalCreated(tx, principal, by.id);
        const given = {
          scopes: [...new Set(request.scopes)] as string[],
          roles: [...new Set(request.roles)] as string[],
        };
        assertMayGrant(effectiveScopes({ ...given, principalRoles: principal.roles }), tenant, by);
        const expiresAt = request.expiresAt === undefined ? null : new Date(request.expiresAt);
        const key = { id: made.id, principalId: request.principal, ...given, expiresAt };
        await repository.insert({
          ...key,
          sha256: made.sha256,
          note: request.note ?? '',
          createdBy: by.id,
        });
        await facts.keyCreated(tx, { ...key, tenantId: tenant }, by.id);
      });
      await onChanged();
      return { row: await found(made.id), key: made.key };
    },
    async list(page, by) {
      const { tenant: wanted, ...rest } = page;
      const tenant = tenantFilter(by, wanted);
      return await keys.list({ ...rest, ...(tenant !== undefined && { tenant }) });
    },
    async revoke(id, by) {
      const key = await found(id, by);
      await database.transaction(async (tx) => {
        if (await createKeyRepository(tx).revoke(id)) await facts.keyRevoked(tx, key, by.id);
      });
      await onChanged();
      return await found(id);
    },
    async bootstrap(token) {
      const id = apiKeyId(token);
      if (id === undefined)
        throw new TypeError('The bootstrap token must look like mlr_<id>_<43 base64url characters>.');
      await database.transaction(async (tx) => {
        const repository = createKeyRepository(tx);
        await repository.ensureAdmin('admin', PLATFORM_TENANT);
        const note = 'First key of this platform, made by its launcher.';
        const fixed = { id, sha256: apiKeySha256(token), principalId: 'admin', note, createdBy: 'launcher' };
        const isPut = await repository.upsert({ ...fixed, scopes: [...scopes] });
        const key = { ...fixed, tenantId: PLATFORM_TENANT, scopes: [...scopes], roles: [], expiresAt: null };
        if (isPut) await facts.keyCreated(tx, key, fixed.createdBy);
      });
      await onChanged();
    },
    anyValid: keys.anyActive,
    activeKeys: async () => (await keys.listActive(KEY_SET_KEYS_MAX)).map(toRecord),
  };
}

/**
 * What a key may do: what it was given, within the roles of its principal where it has some. A key that was given
 * nothing follows its principal.
 */
export function effectiveScopes(key: Pick<ApiKeyRow, 'scopes' | 'roles' | 'principalRoles'>): Scope[] {
  const given = [...new Set([...key.scopes.filter(isScope), ...scopesOfRoles(key.roles)])];
  if (key.principalRoles === null) return given;
  const held = scopesOfRoles(key.principalRoles);
  return given.length === 0 ? held : boundedScopes(given, held);
}

/** Throws `tenant_not_found` or `principal_disabled`. */
async function assertTenantInUse(tx: Executor, id: string): Promise<void> {
  const tenant = await createTenantRepository(tx).find(id);
  if (tenant === undefined)
    throw new AppError('tenant_not_found', `There is no tenant '${id}'; make it with POST /v1/tenants.`);
  if (tenant.disabledAt !== null)
    throw new AppError('principal_disabled', `The tenant '${id}' is disabled; enable it with PATCH.`);
}

function assertMayHaveKey(principal: PrincipalRow, tenant: string): void {
  if (principal.tenantId !== tenant)
    throw new AppError('invalid_request', `The principal '${principal.id}' belongs to another tenant.`);
  if (principal.disabledAt !== null)
    throw new AppError(
      'principal_disabled',
      `The principal '${principal.id}' is disabled; enable it with PATCH.`,
    );
}

/** Nobody gives a key more than they may do themselves, and none that allows nothing. */
function assertMayGrant(wanted: readonly Scope[], tenant: string, by: Principal): void {
  if (wanted.length === 0)
    throw new AppError(
      'invalid_request',
      'The key would allow nothing: name scopes or roles, within the roles of its principal.',
    );
  if (wanted.includes('operate') && tenant !== PLATFORM_TENANT)
    throw new AppError(
      'scope_missing',
      `'operate' reaches over all tenants and can only be given in the tenant '${PLATFORM_TENANT}'.`,
    );
  if (by.scopes.includes('admin')) return;
  const beyond = wanted.filter((scope) => !by.scopes.includes(scope));
  if (beyond.length === 0) return;
  throw new AppError('scope_missing', `You cannot give scopes that you lack: ${beyond.join(', ')}.`);
}

function toRecord(row: ApiKeyRow): KeySet['keys'][number] {
  return {
    id: row.id,
    sha256: row.sha256,
    principal: row.principalId,
    tenant: row.tenantId,
    scopes: effectiveScopes(row),
    expiresAt: row.expiresAt?.toISOString() ?? null,
    revokedAt: row.revokedAt?.toISOString() ?? null,
  };
}
