import { createHash } from 'node:crypto';
import { AppError } from '@millrace/contracts';
import type { JWTVerifyResult } from 'jose';
import { decodeJwt, decodeProtectedHeader, errors, jwtVerify } from 'jose';
import { principalOf } from './claims.ts';
import type { KeySetSource } from './key-set-client.ts';
import type { Principal } from './scopes.ts';
import type { TrustedIssuer } from './trust.ts';

/** A token over this is not looked into. */
export const TOKEN_BYTES_MAX = 8_192;
/** A token that was issued longer ago is refused, whatever it says itself. */
export const TOKEN_AGE_MAX_SECONDS = 24 * 60 * 60;
/** Verified tokens that are remembered; the one not used for longest is forgotten first. */
const VERIFIED_TOKENS_MAX = 10_000;
/** Tokens verified at once: each costs a signature, and anybody can send one. */
const VERIFICATIONS_MAX = 256;

/** A token that was checked, and whom it is of. */
export type VerifiedToken = {
  readonly principal: Principal;
  readonly issuer: TrustedIssuer;
  readonly expiresAtMs: number;
};

export type TokenVerifier = {
  /** Whether a token would be looked at at all. */
  isTrusting(): boolean;
  /** What is known of a token that came before and is still good. */
  find(token: string): VerifiedToken | undefined;
  /** Whether nothing happened since that would make a token invalid. */
  isGood(verified: VerifiedToken): boolean;
  /** Checks a token: signature, issuer, audience, times, claims. Throws `token_invalid` or `dependency_unavailable`. */
  verify(token: string): Promise<VerifiedToken>;
};

/** Verifies tokens of the identity providers that the key set names, and remembers them by their digest. */
export function createTokenVerifier(keySet: KeySetSource): TokenVerifier {
  const remembered = new Map<string, VerifiedToken>();
  const running = new Map<string, Promise<VerifiedToken>>();

  function isGood({ principal, issuer, expiresAtMs }: VerifiedToken): boolean {
    const trust = keySet.trust();
    return (
      expiresAtMs > Date.now() &&
      trust.issuers.get(issuer.record.issuer) === issuer &&
      trust.tenants.has(principal.tenant) &&
      !trust.disabled.has(principal.id)
    );
  }

  function remember(digest: string, verified: VerifiedToken): void {
    remembered.set(digest, verified);
    if (remembered.size > VERIFIED_TOKENS_MAX) remembered.delete(remembered.keys().next().value as string);
  }

  async function run(token: string, digest: string): Promise<VerifiedToken> {
    const { payload, issuer } = await verifyAgainst(keySet, token);
    const principal = principalOf(payload, issuer.record);
    const { tenants, disabled } = keySet.trust();
    if (!tenants.has(principal.tenant))
      throw invalid(`There is no tenant '${principal.tenant.slice(0, 63)}' here, or it is disabled.`);
    if (disabled.has(principal.id)) throw invalid(`The principal '${principal.id}' is disabled here.`);
    const { clockSkewSeconds } = issuer.record;
    const expiresAtMs = (Number(payload.exp) + clockSkewSeconds) * 1_000;
    const verified = { principal, issuer, expiresAtMs };
    remember(digest, verified);
    return verified;
  }

  return {
    isGood,
    isTrusting: () => keySet.trust().issuers.size > 0,
    find(token) {
      const digest = digestOf(token);
      const known = remembered.get(digest);
      if (known === undefined) return undefined;
      remembered.delete(digest);
      if (!isGood(known)) return undefined;
      // put back, so that the map stays in order of last use
      remembered.set(digest, known);
      return known;
    },
    async verify(token) {
      if (token.length > TOKEN_BYTES_MAX)
        throw invalid(`The token has ${token.length} bytes, over the bound of ${TOKEN_BYTES_MAX}.`);
      const digest = digestOf(token);
      const already = running.get(digest);
      if (already !== undefined) return await already;
      if (running.size >= VERIFICATIONS_MAX)
        throw new AppError('dependency_unavailable', 'Too many new tokens are being verified; try again.');
      const work = run(token, digest).finally(() => running.delete(digest));
      running.set(digest, work);
      return await work;
    },
  };
}

type Checked = { payload: JWTVerifyResult['payload']; issuer: TrustedIssuer };

/** A key that is not known may be new at the provider: its keys are then asked for, once. */
async function verifyAgainst(keySet: KeySetSource, token: string): Promise<Checked> {
  const name = issuerNamed(token);
  const first = trusted(keySet, name);
  try {
    return await check(token, first);
  } catch (error) {
    if (!(error instanceof errors.JWKSNoMatchingKey)) throw explained(error);
  }
  await keySet.seek(name);
  const again = trusted(keySet, name);
  if (again.record.keys.length === 0)
    throw new AppError(
      'dependency_unavailable',
      `The keys of the identity provider '${again.record.name}' could not be fetched yet; try again.`,
    );
  return await check(token, again).catch((error: unknown) => {
    throw explained(error);
  });
}

async function check(token: string, issuer: TrustedIssuer): Promise<Checked> {
  const { audiences, algorithms, clockSkewSeconds } = issuer.record;
  const { payload } = await jwtVerify(token, issuer.keyOf, {
    issuer: issuer.record.issuer,
    audience: [...audiences],
    algorithms: [...algorithms],
    clockTolerance: clockSkewSeconds,
    maxTokenAge: TOKEN_AGE_MAX_SECONDS,
    requiredClaims: ['exp', 'iat'],
  });
  return { payload, issuer };
}

/** Whom a token says it is from; nothing of it has been verified yet. */
function issuerNamed(token: string): string {
  try {
    if (typeof decodeProtectedHeader(token).kid !== 'string')
      throw invalid('The header of the token names no key (kid).');
    return String(decodeJwt(token).iss);
  } catch (error) {
    throw explained(error);
  }
}

function trusted(keySet: KeySetSource, name: string): TrustedIssuer {
  const issuer = keySet.trust().issuers.get(name);
  if (issuer !== undefined) return issuer;
  throw invalid('The issuer of the token (iss) is none that this platform trusts.');
}

/** What is wrong with a token in words that help its sender; what the token says is no secret to them. */
function explained(error: unknown): unknown {
  if (error instanceof AppError) return error;
  if (error instanceof errors.JWTExpired) return invalid('The token has expired; get a new one.', error);
  if (error instanceof errors.JWTClaimValidationFailed)
    return invalid(`The claim ${error.claim} of the token is not accepted here: ${error.message}.`, error);
  if (error instanceof errors.JWKSNoMatchingKey)
    return invalid('The token is signed with a key that its provider does not publish.', error);
  if (error instanceof errors.JOSEAlgNotAllowed)
    return invalid('The algorithm of the token (alg) is not one that is accepted of its provider.', error);
  return invalid('The token is malformed or its signature does not fit.', error);
}

function invalid(message: string, cause?: unknown): AppError {
  return new AppError('token_invalid', message, cause === undefined ? {} : { cause });
}

function digestOf(token: string): string {
  return createHash('sha256').update(token, 'utf8').digest('base64');
}
