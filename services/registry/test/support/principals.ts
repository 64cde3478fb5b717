import type { Scope } from '@millrace/service-kit';
import { createApiKey, KEY_SET_SUBJECT, signKeySet } from '@millrace/service-kit';
import type { RegistryStack } from './registry-stack.ts';

/** Somebody with an API key, and what a route of the registry answers them. */
export type Caller = (
  method: string,
  path: string,
  body?: unknown,
) => Promise<{ status: number; body: Record<string, unknown> }>;

/** Gives each name a key of the platform's, by a key set signed as the gateway does, for which services ask. */
export async function callers<Name extends string>(
  stack: RegistryStack,
  scopesOf: Readonly<Record<Name, readonly Scope[]>>,
  /** Whose they are; `default` unless given. */
  tenantOf: Readonly<Record<string, string>> = {},
): Promise<Record<Name, Caller>> {
  const made = Object.entries<readonly Scope[]>(scopesOf).map(([name, scopes]) => {
    const { id, key, sha256 } = createApiKey();
    const common = { principal: name, tenant: tenantOf[name] ?? 'default', expiresAt: null, revokedAt: null };
    return { name, key, record: { id, sha256, scopes: [...scopes], ...common } };
  });
  const keySet = { issuedAt: new Date().toISOString(), keys: made.map(({ record }) => record) };
  const signed = JSON.stringify(signKeySet(keySet, stack.gatewayKeyPem));
  stack.bus.nc.subscribe(KEY_SET_SUBJECT, {
    callback: (_error, message) => {
      message.respond(signed);
    },
  });
  await stack.bus.nc.flush();
  const entries = made.map(({ name, key }) => [name, caller(stack.registry.origin, key)] as const);
  return Object.fromEntries(entries) as Record<Name, Caller>;
}

function caller(origin: string, key: string): Caller {
  return async (method, path, body) => {
    const response = await fetch(`${origin}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: text === '' ? {} : JSON.parse(text) };
  };
}
