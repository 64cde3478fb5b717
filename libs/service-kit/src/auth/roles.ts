import type { Scope } from './scopes.ts';

const viewer: readonly Scope[] = ['models:read', 'data:read', 'monitor'];

/** Named sets of scopes; `admin` may do everything within its tenant. */
export const roles = {
  viewer,
  predictor: ['models:read', 'predict'],
  trainer: [...viewer, 'predict', 'train', 'data:write', 'models:write'],
  approver: [...viewer, 'models:approve'],
  admin: ['admin'],
} as const satisfies Record<string, readonly Scope[]>;

export type Role = keyof typeof roles;

export const roleNames = Object.keys(roles) as readonly Role[];

export function isRole(value: unknown): value is Role {
  return typeof value === 'string' && Object.hasOwn(roles, value);
}

/** What these roles allow together; names that are no role allow nothing. */
export function scopesOfRoles(names: readonly string[]): Scope[] {
  return [...new Set(names.filter(isRole).flatMap((name): readonly Scope[] => roles[name]))];
}

/** The scopes of `wanted` that `held` covers: what somebody with a bound may use of a grant. */
export function boundedScopes(wanted: readonly Scope[], held: readonly Scope[]): Scope[] {
  if (held.includes('admin')) return [...wanted];
  if (wanted.includes('admin')) return [...held];
  return wanted.filter((scope) => held.includes(scope));
}
