import { AppError } from '@millrace/contracts';
import type { JWTPayload } from 'jose';
import type { IssuerRecord } from './identities.ts';
import type { Role } from './roles.ts';
import { scopesOfRoles } from './roles.ts';
import type { Principal } from './scopes.ts';

const SUBJECT = /^[A-Za-z0-9._@|=+-]{1,128}$/;
/** Values of a claim that are looked at. */
const CLAIM_VALUES_MAX = 500;

/** Whom the claims of a verified token name, by the mapping of its provider. Throws `token_invalid`. */
export function principalOf(payload: JWTPayload, record: IssuerRecord): Principal {
  const { claims, name } = record;
  const subject = claimAt(payload, claims.principal ?? 'sub');
  if (typeof subject !== 'string' || !SUBJECT.test(subject))
    throw invalid(
      `The claim ${pathText(claims.principal ?? 'sub')} names no principal: 1 to 128 letters, digits or . _ @ | = + - are needed.`,
    );
  const tenant = 'value' in claims.tenant ? claims.tenant.value : claimAt(payload, claims.tenant.claim);
  if (typeof tenant !== 'string' || tenant === '')
    throw invalid('The token names no tenant; its provider must add the claim that the platform maps.');
  return { id: `${name}:${subject}`, tenant, scopes: scopesOfRoles(rolesOf(payload, claims.roles)) };
}

function rolesOf(payload: JWTPayload, mapping: IssuerRecord['claims']['roles']): Role[] {
  const { claim, map = {}, always = [] } = mapping;
  const value = claim === undefined ? undefined : claimAt(payload, claim);
  const names = typeof value === 'string' ? value.split(' ') : Array.isArray(value) ? value : [];
  const mapped = names
    .slice(0, CLAIM_VALUES_MAX)
    .flatMap((one) => (typeof one === 'string' && Object.hasOwn(map, one) ? [map[one] as Role] : []));
  return [...always, ...mapped];
}

function claimAt(payload: JWTPayload, path: string | readonly string[]): unknown {
  let value: unknown = payload;
  for (const name of typeof path === 'string' ? [path] : path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}

const pathText = (path: string | readonly string[]): string =>
  typeof path === 'string' ? path : path.join('.');

function invalid(message: string): AppError {
  return new AppError('token_invalid', message);
}
