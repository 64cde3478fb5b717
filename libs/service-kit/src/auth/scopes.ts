/** Everything a key may be allowed to do; each HTTP route names one of them. */
export const scopes = [
  'models:read',
  'models:write',
  'models:approve',
  'predict',
  'train',
  'data:read',
  'data:write',
  'monitor',
  'operate',
  'admin',
] as const;

export type Scope = (typeof scopes)[number];

/**
 * Tenant of those who run the platform, and of everything that names none. Only here does `operate`, which reaches over
 * all tenants, allow anything, and only admins of this tenant look after others.
 */
export const PLATFORM_TENANT = 'default';

/** Who makes a request: `id` names the principal, `tenant` whose data it sees, `scopes` what it may do. */
export type Principal = { readonly id: string; readonly tenant: string; readonly scopes: readonly Scope[] };

export function isScope(value: unknown): value is Scope {
  return typeof value === 'string' && (scopes as readonly string[]).includes(value);
}
