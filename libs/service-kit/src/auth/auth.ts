import type { TenantQuota } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import type { Logger } from '../logger.ts';
import { apiKeyId, apiKeySha256, digestsEqual } from './api-key.ts';
import type { KeyRecord } from './key-set.ts';
import type { KeySetSource } from './key-set-client.ts';
import { isLoopbackAddress, isLoopbackHost, isLoopbackOrigin } from './loopback.ts';
import type { Principal, Scope } from './scopes.ts';
import { isScope, PLATFORM_TENANT, scopes } from './scopes.ts';
import type { VerifiedToken } from './tokens.ts';
import { createTokenVerifier } from './tokens.ts';

export type AuthMode = 'local' | 'required';

/** What of a request decides who makes it; the same for HTTP and gRPC. */
export type Credentials = {
  readonly authorization: string | undefined;
  readonly host: string | undefined;
  readonly origin: string | undefined;
  readonly remoteAddress: string | undefined;
  /** The connection, on which a key that came before is not hashed again. */
  readonly connection?: object;
};

export type Auth = {
  readonly mode: AuthMode;
  /**
   * Throws `auth_required` (401), `host_not_allowed` (421) or `dependency_unavailable` (503, no key set yet). A promise
   * only for a token of an identity provider that was not seen before, and for a key that the gateway has to be asked
   * about; it may also reject with `token_invalid` (401).
   */
  authenticate(credentials: Credentials): Principal | Promise<Principal>;
  /** Throws `scope_missing` (403) unless the principal has the scope; `admin` has every scope within its tenant. */
  authorize(principal: Principal, scope: Scope): void;
  /** Bounds of a tenant on what is kept for it, as of the last key set. */
  quotaOf(tenant: string): TenantQuota;
};

/** Who a request without a key is on a machine in mode `local`. */
export const localPrincipal: Principal = Object.freeze({ id: 'local', tenant: PLATFORM_TENANT, scopes });

const NO_QUOTA: TenantQuota = {};

const BEARER = /^bearer +([A-Za-z0-9_-]{1,256})$/i;
const BEARER_TOKEN = /^bearer +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*)$/i;

/**
 * Decides who makes a request: by API key, by a token of an identity provider, or in mode `local` by its coming from this
 * very machine. `onToken` hears of each token that was verified for the first time.
 */
export function createAuth(options: {
  mode: AuthMode;
  keySet: KeySetSource;
  logger: Logger;
  onToken?: (principal: Principal, credentials: Credentials) => void;
}): Auth {
  const { keySet } = options;
  if (options.mode === 'local') {
    options.logger.warn('Requests from this machine need no API key (MILLRACE_AUTH_MODE=local).');
  }
  const tokens = createTokenVerifier(keySet);
  const verified = new WeakMap<object, Verified>();

  function remember(connection: object | undefined, found: Verified): Principal {
    if (connection !== undefined) verified.set(connection, found);
    return found.principal;
  }

  /** The record is the very one of then until the next key set comes. */
  function isStillValid(known: Verified): boolean {
    if ('token' in known) return tokens.isGood(known.token);
    return keySet.find(known.record.id) === known.record && isValidAt(known.record, Date.now());
  }

  function byToken(token: string, credentials: Credentials): Principal | Promise<Principal> {
    const { connection } = credentials;
    const authorization = credentials.authorization ?? '';
    const known = tokens.find(token);
    if (known !== undefined)
      return remember(connection, { authorization, token: known, principal: known.principal });
    return tokens.verify(token).then((found) => {
      options.onToken?.(found.principal, credentials);
      return remember(connection, { authorization, token: found, principal: found.principal });
    });
  }

  return {
    mode: options.mode,
    quotaOf: (tenant) => keySet.trust().quotas.get(tenant) ?? NO_QUOTA,
    authenticate(credentials) {
      const { authorization, connection } = credentials;
      if (authorization !== undefined) {
        const known = connection === undefined ? undefined : verified.get(connection);
        if (known !== undefined && known.authorization === authorization && isStillValid(known))
          return known.principal;
        const token = BEARER_TOKEN.exec(authorization)?.[1];
        if (token !== undefined && tokens.isTrusting()) return byToken(token, credentials);
        const sought = unknownKey(authorization, keySet);
        if (sought !== undefined)
          return sought.then(() => remember(connection, byKey(authorization, keySet)));
        return remember(connection, byKey(authorization, keySet));
      }
      if (options.mode === 'required') throw authRequired();
      if (!isLoopbackAddress(credentials.remoteAddress)) throw authRequired();
      if (!isLoopbackHost(credentials.host) || !isLoopbackOrigin(credentials.origin)) {
        throw new AppError(
          'host_not_allowed',
          'Without an API key the Host and Origin must be localhost or 127.0.0.1; use that address or send a key.',
        );
      }
      return localPrincipal;
    },
    authorize(principal, scope) {
      if (scope === 'operate' && principal.tenant !== PLATFORM_TENANT) {
        throw new AppError(
          'scope_missing',
          `'operate' reaches over all tenants; only principals of the tenant '${PLATFORM_TENANT}' can have it.`,
        );
      }
      if (principal.scopes.includes(scope) || principal.scopes.includes('admin')) return;
      throw new AppError(
        'scope_missing',
        `The key lacks the scope '${scope}'; ask an administrator for one that has it.`,
      );
    },
  };
}

/** A key or token that was checked, and whom it is of. */
type Verified = { readonly authorization: string; readonly principal: Principal } & (
  | { readonly record: KeyRecord }
  | { readonly token: VerifiedToken }
);

/** Asks about a key that is not in the key set; undefined where there is nothing to ask. */
function unknownKey(authorization: string, keySet: KeySetSource): Promise<void> | undefined {
  const keyId = apiKeyId(BEARER.exec(authorization)?.[1] ?? '');
  return keyId === undefined || keySet.find(keyId) !== undefined ? undefined : keySet.seekKey(keyId);
}

function byKey(authorization: string, keySet: KeySetSource): Verified {
  const key = BEARER.exec(authorization)?.[1];
  const keyId = key === undefined ? undefined : apiKeyId(key);
  if (key === undefined || keyId === undefined) throw authRequired();
  if (!keySet.isReady()) {
    throw new AppError(
      'dependency_unavailable',
      'The gateway has not sent its key set yet, so no key can be checked.',
    );
  }
  const record = keySet.find(keyId);
  // An unknown id costs the same comparison as a known one.
  const isSame = digestsEqual(apiKeySha256(key), record?.sha256 ?? '0'.repeat(64));
  if (record === undefined || !isSame || !isValidAt(record, Date.now())) throw authRequired();
  const { tenant, scopes: given } = record;
  const principal = { id: record.principal, tenant, scopes: given.filter(isScope) };
  return { authorization, record, principal };
}

function isValidAt(record: KeyRecord, nowMs: number): boolean {
  if (record.revokedAt !== null) return false;
  return record.expiresAt === null || Date.parse(record.expiresAt) > nowMs;
}

/** One body for absent, unknown, expired and revoked keys, so that an answer tells nothing about keys. */
function authRequired(): AppError {
  return new AppError(
    'auth_required',
    'No valid API key came with the request; send Authorization: Bearer <key>.',
  );
}
