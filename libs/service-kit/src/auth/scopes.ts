/** Everything a key may be allowed to do; each HTTP route names one of them. */
export const scopes = [
  'models:read',
  'models:write',
  'predict',
  'train',
  'data:read',
  'data:write',
  'monitor',
  'operate',
  'admin',
] as const;

export type Scope = (typeof scopes)[number];

/** Who makes a request: `id` names the principal, `tenant` whose data it sees, `scopes` what it may do. */
export type Principal = { readonly id: string; readonly tenant: string; readonly scopes: readonly Scope[] };

export function isScope(value: unknown): value is Scope {
  return typeof value === 'string' && (scopes as readonly string[]).includes(value);
}
