import { AppError } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { advisoryKey } from '@millrace/database';
import type { KeySet, Principal, Scope } from '@millrace/service-kit';
import { apiKeyId, apiKeySha256, createApiKey, KEY_SET_KEYS_MAX, scopes } from '@millrace/service-kit';
import { sql } from 'drizzle-orm';
import { createKeyRepository } from './key.repository.ts';
import type { ApiKeyRow } from './key.table.ts';

/** Tenant of everything that names none. */
export const DEFAULT_TENANT = 'default';

export type NewApiKey = {
  principal: string;
  tenant?: string;
  scopes: readonly Scope[];
  note?: string;
  expiresAt?: string;
};

export type KeyService = {
  /** Makes a key; its text is in the answer and nowhere else. Throws `key_limit_reached` or `scope_missing`. */
  create(request: NewApiKey, by: Principal): Promise<{ row: ApiKeyRow; key: string }>;
  list(page: { limit: number; before?: { createdAt: Date; id: string } }): Promise<ApiKeyRow[]>;
  /** Throws `key_not_found`. */
  revoke(id: string): Promise<ApiKeyRow>;
  /** Makes the first admin key, whose text the launcher wrote to a file. */
  bootstrap(token: string): Promise<void>;
  /** All keys that are valid now. */
  keySet(): Promise<KeySet>;
};

/** The rules for API keys; `onChanged` runs after each change. */
export function createKeyService(deps: { database: Database; onChanged: () => void }): KeyService {
  const { database, onChanged } = deps;
  const keys = createKeyRepository(database.db);
  const found = async (id: string): Promise<ApiKeyRow> => {
    const row = await keys.find(id);
    if (row === undefined)
      throw new AppError('key_not_found', `There is no API key '${id}'; GET /v1/keys lists them.`);
    return row;
  };
  return {
    async create(request, by) {
      assertMayGrant(request.scopes, by);
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
        const wanted = request.tenant ?? DEFAULT_TENANT;
        const { tenantId } = await repository.ensurePrincipal(request.principal, wanted);
        if (tenantId !== wanted) {
          throw new AppError(
            'invalid_request',
            `The principal '${request.principal}' belongs to another tenant.`,
          );
        }
        await repository.insert({
          id: made.id,
          sha256: made.sha256,
          principalId: request.principal,
          note: request.note ?? '',
          scopes: [...new Set(request.scopes)],
          createdBy: by.id,
          expiresAt: request.expiresAt === undefined ? null : new Date(request.expiresAt),
        });
      });
      onChanged();
      return { row: await found(made.id), key: made.key };
    },
    list: async (page) => await keys.list(page),
    async revoke(id) {
      await found(id);
      await keys.revoke(id);
      onChanged();
      return await found(id);
    },
    async bootstrap(token) {
      const id = apiKeyId(token);
      if (id === undefined)
        throw new TypeError('The bootstrap token must look like mlr_<id>_<43 base64url characters>.');
      await database.transaction(async (tx) => {
        const repository = createKeyRepository(tx);
        await repository.ensurePrincipal('admin', DEFAULT_TENANT);
        const note = 'First key of this platform, made by its launcher.';
        const fixed = { id, sha256: apiKeySha256(token), principalId: 'admin', note, createdBy: 'launcher' };
        await repository.upsert({ ...fixed, scopes: [...scopes] });
      });
      onChanged();
    },
    async keySet() {
      const rows = await keys.listActive(KEY_SET_KEYS_MAX);
      return { issuedAt: new Date().toISOString(), keys: rows.map(toRecord) };
    },
  };
}

/** Nobody gives a key more than they may do themselves. */
function assertMayGrant(wanted: readonly Scope[], by: Principal): void {
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
    scopes: row.scopes,
    expiresAt: row.expiresAt?.toISOString() ?? null,
    revokedAt: row.revokedAt?.toISOString() ?? null,
  };
}
