import type { TenantQuota } from '@millrace/contracts';
import { canonicalJson } from '@millrace/integrity';
import type { JWTVerifyGetKey } from 'jose';
import { createLocalJWKSet } from 'jose';
import type { Identities, IssuerRecord } from './identities.ts';

/** An identity provider with its keys ready for use; the same object for as long as nothing of it changes. */
export type TrustedIssuer = { readonly record: IssuerRecord; readonly keyOf: JWTVerifyGetKey };

/** Whose tokens are accepted, as looked up by each request. */
export type Trust = {
  readonly tenants: ReadonlySet<string>;
  readonly disabled: ReadonlySet<string>;
  readonly issuers: ReadonlyMap<string, TrustedIssuer>;
  readonly quotas: ReadonlyMap<string, TenantQuota>;
};

/** Trusts nobody. */
export const noTrust: Trust = {
  tenants: new Set(),
  disabled: new Set(),
  issuers: new Map(),
  quotas: new Map(),
};

/** Makes ready what came with a key set; issuers that did not change stay the objects they were. */
export function trustOf(identities: Identities | undefined, before: Trust): Trust {
  if (identities === undefined) return noTrust;
  const issuers = identities.issuers.map((record): [string, TrustedIssuer] => {
    const known = before.issuers.get(record.issuer);
    const isSame = known !== undefined && canonicalJson(known.record) === canonicalJson(record);
    return [record.issuer, isSame ? known : { record, keyOf: createLocalJWKSet({ keys: [...record.keys] }) }];
  });
  return {
    tenants: new Set(identities.tenants),
    disabled: new Set(identities.disabled),
    issuers: new Map(issuers),
    quotas: new Map(Object.entries(identities.quotas ?? {})),
  };
}
