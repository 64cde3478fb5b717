import { AppError } from '@millrace/contracts';
import type { Logger } from '../logger.ts';
import { apiKeyId, apiKeySha256, digestsEqual } from './api-key.ts';
import type { KeyRecord } from './key-set.ts';
import type { KeySetSource } from './key-set-client.ts';
import { isLoopbackAddress, isLoopbackHost, isLoopbackOrigin } from './loopback.ts';
import type { Principal, Scope } from './scopes.ts';
import { isScope, scopes } from './scopes.ts';

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
  /** Throws `auth_required` (401), `host_not_allowed` (421) or `dependency_unavailable` (503, no key set yet). */
  authenticate(credentials: Credentials): Principal;
  /** Throws `scope_missing` (403) unless the principal has the scope; `admin` has every scope. */
  authorize(principal: Principal, scope: Scope): void;
};

/** Who a request without a key is on a machine in mode `local`. */
export const localPrincipal: Principal = Object.freeze({ id: 'local', tenant: 'default', scopes });

const BEARER = /^bearer +([A-Za-z0-9_-]{1,256})$/i;

/** Decides who makes a request: by API key, or in mode `local` by its coming from this very machine. */
export function createAuth(options: { mode: AuthMode; keySet: KeySetSource; logger: Logger }): Auth {
  if (options.mode === 'local') {
    options.logger.warn('Requests from this machine need no API key (MILLRACE_AUTH_MODE=local).');
  }
  const verified = new WeakMap<object, Verified>();
  return {
    mode: options.mode,
    authenticate(credentials) {
      const { authorization, connection } = credentials;
      if (authorization !== undefined) {
        const known = connection === undefined ? undefined : verified.get(connection);
        if (
          known !== undefined &&
          known.authorization === authorization &&
          isStillValid(known, options.keySet)
        )
          return known.principal;
        const found = byKey(authorization, options.keySet);
        if (connection !== undefined) verified.set(connection, found);
        return found.principal;
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
      if (principal.scopes.includes(scope) || principal.scopes.includes('admin')) return;
      throw new AppError(
        'scope_missing',
        `The key lacks the scope '${scope}'; ask an administrator for one that has it.`,
      );
    },
  };
}

/** A key that was checked, and whom it is of. */
type Verified = { readonly authorization: string; readonly record: KeyRecord; readonly principal: Principal };

/** The record is the very one of then until the next key set comes. */
function isStillValid({ record }: Verified, keySet: KeySetSource): boolean {
  return keySet.find(record.id) === record && isValidAt(record, Date.now());
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
