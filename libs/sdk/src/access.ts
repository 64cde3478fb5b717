import type { KeyView, Page, PageQuery } from './shapes.ts';
import type { Transport } from './transport.ts';

/** Somebody who acts. */
export type PrincipalView = {
  readonly id: string;
  readonly tenant: string;
  /** Bound all keys of the principal; null: each key says for itself. */
  readonly roles: readonly string[] | null;
  readonly note: string;
  readonly createdAt: string;
  readonly createdBy: string;
  readonly disabledAt: string | null;
};

type NewKey = {
  principal: string;
  tenant?: string;
  scopes?: readonly string[];
  roles?: readonly string[];
  note?: string;
  expiresAt?: string;
};

/** API keys; the text of a new one is in its answer and nowhere else. */
export function createKeysClient({ call }: Transport) {
  return {
    create: async (key: NewKey) => await call<KeyView & { key: string }>('POST', '/v1/keys', { body: key }),
    list: async (query: PageQuery = {}) => await call<Page<KeyView>>('GET', '/v1/keys', { query }),
    revoke: async (id: string) => await call<KeyView>('DELETE', `/v1/keys/${encodeURIComponent(id)}`),
  };
}

/** Who acts, with what roles. */
export function createPrincipalsClient({ call }: Transport) {
  const one = (id: string) => `/v1/principals/${encodeURIComponent(id)}`;
  return {
    create: async (principal: { id: string; tenant?: string; roles: readonly string[]; note?: string }) =>
      await call<PrincipalView>('POST', '/v1/principals', { body: principal }),
    list: async (query: PageQuery = {}) =>
      await call<Page<PrincipalView>>('GET', '/v1/principals', { query }),
    get: async (id: string) => await call<PrincipalView>('GET', one(id)),
    change: async (id: string, change: { roles?: readonly string[]; note?: string; disabled?: boolean }) =>
      await call<PrincipalView>('PATCH', one(id), { body: change }),
  };
}
