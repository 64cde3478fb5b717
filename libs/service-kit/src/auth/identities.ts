import { TenantQuota } from '@millrace/contracts';
import type { Static } from 'typebox';
import Type from 'typebox';
import type { Role } from './roles.ts';
import { roleNames } from './roles.ts';

/** Most tenants a platform has: their names are sent whole to every service. */
export const TENANTS_MAX = 500;
/** Most principals of identity providers that are disabled here, for the same reason. */
export const DISABLED_PRINCIPALS_MAX = 1_000;
/** Most identity providers. */
export const ISSUERS_MAX = 8;
/** Keys of one provider that are looked at. */
export const ISSUER_KEYS_MAX = 32;
/** How far the clock of a provider may be away (seconds). */
export const CLOCK_SKEW_SECONDS_MAX = 300;

/** Signatures that are accepted: only those made with a private key. */
export const tokenAlgorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const;

const ClaimPath = Type.Union(
  [
    Type.String({ minLength: 1, maxLength: 200 }),
    Type.Array(Type.String({ minLength: 1, maxLength: 200 }), { minItems: 1, maxItems: 5 }),
  ],
  { description: 'Name of a claim, or the names on the way to one that lies deeper.' },
);
const RoleName = Type.Unsafe<Role>(Type.Enum([...roleNames]));
const strict = { additionalProperties: false } as const;

/** How the claims of a token become a principal. */
export const ClaimMapping = Type.Object(
  {
    principal: Type.Optional(ClaimPath),
    tenant: Type.Union([
      Type.Object({ claim: ClaimPath }, strict),
      Type.Object({ value: Type.String({ minLength: 1, maxLength: 63 }) }, strict),
    ]),
    roles: Type.Object(
      {
        claim: Type.Optional(ClaimPath),
        map: Type.Optional(Type.Record(Type.String({ minLength: 1, maxLength: 200 }), RoleName)),
        always: Type.Optional(Type.Array(RoleName, { maxItems: roleNames.length })),
      },
      strict,
    ),
  },
  strict,
);
export type ClaimMapping = Static<typeof ClaimMapping>;

/** The public half of a signing key; nothing of a private one has a place in it. */
export const IssuerKey = Type.Object(
  {
    kty: Type.Enum(['RSA', 'EC', 'OKP']),
    kid: Type.String({ minLength: 1, maxLength: 200 }),
    alg: Type.Optional(Type.String({ maxLength: 20 })),
    n: Type.Optional(Type.String({ maxLength: 1_400 })),
    e: Type.Optional(Type.String({ maxLength: 16 })),
    crv: Type.Optional(Type.String({ maxLength: 20 })),
    x: Type.Optional(Type.String({ maxLength: 100 })),
    y: Type.Optional(Type.String({ maxLength: 100 })),
  },
  strict,
);
export type IssuerKey = Static<typeof IssuerKey>;

/** What every service knows of an identity provider. */
export const IssuerRecord = Type.Object(
  {
    /** Stands before the subject in the id of a principal, so that no two providers share one. */
    name: Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,31}$' }),
    issuer: Type.String({ minLength: 1, maxLength: 500 }),
    audiences: Type.Array(Type.String({ minLength: 1, maxLength: 500 }), { minItems: 1, maxItems: 8 }),
    algorithms: Type.Array(Type.Enum([...tokenAlgorithms]), { minItems: 1 }),
    clockSkewSeconds: Type.Integer({ minimum: 0, maximum: CLOCK_SKEW_SECONDS_MAX }),
    claims: ClaimMapping,
    keys: Type.Array(IssuerKey, { maxItems: ISSUER_KEYS_MAX }),
  },
  strict,
);
export type IssuerRecord = Static<typeof IssuerRecord>;

/** Whose tokens are accepted, and for whom. */
export const Identities = Type.Object({
  /** Tenants that are not disabled. */
  tenants: Type.Array(Type.String({ minLength: 1, maxLength: 63 }), { maxItems: TENANTS_MAX }),
  /** Principals of providers that are disabled here. */
  disabled: Type.Array(Type.String({ minLength: 1, maxLength: 255 }), { maxItems: DISABLED_PRINCIPALS_MAX }),
  issuers: Type.Array(IssuerRecord, { maxItems: ISSUERS_MAX }),
  /** Bounds of those tenants that have any. */
  quotas: Type.Optional(Type.Record(Type.String({ minLength: 1, maxLength: 63 }), TenantQuota)),
});
export type Identities = Static<typeof Identities>;
