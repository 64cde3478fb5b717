import {
  CLOCK_SKEW_SECONDS_MAX,
  ClaimMapping,
  ConfigError,
  ISSUERS_MAX,
  IssuerRecord,
  isLoopbackHost,
  tokenAlgorithms,
} from '@millrace/service-kit';
import type { Static } from 'typebox';
import Type from 'typebox';
import Value from 'typebox/value';

const CLOCK_SKEW_SECONDS = 30;
const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA', 'Ed25519'] as const;
const Address = Type.String({ minLength: 1, maxLength: 500 });

/** An identity provider as its file declares it. */
const DeclaredIssuer = Type.Object(
  {
    name: IssuerRecord.properties.name,
    issuer: Address,
    /** Where its keys are; without it its discovery document says so. */
    jwksUrl: Type.Optional(Address),
    audiences: IssuerRecord.properties.audiences,
    algorithms: Type.Optional(Type.Array(Type.Enum([...tokenAlgorithms]), { minItems: 1 })),
    clockSkewSeconds: Type.Optional(Type.Integer({ minimum: 0, maximum: CLOCK_SKEW_SECONDS_MAX })),
    claims: ClaimMapping,
  },
  { additionalProperties: false },
);
const DeclaredIssuers = Type.Array(DeclaredIssuer, { maxItems: ISSUERS_MAX });

/** An identity provider without its keys, which are fetched. */
export type Issuer = Omit<IssuerRecord, 'keys'> & { readonly jwksUrl?: string };

/** Reads the file of identity providers. Throws ConfigError with every fault. */
export function parseIssuers(text: string, variable: string): Issuer[] {
  let declared: unknown;
  try {
    declared = JSON.parse(text);
  } catch {
    throw new ConfigError([`${variable} names a file that is not JSON.`]);
  }
  if (!Value.Check(DeclaredIssuers, declared)) {
    const faults = [...Value.Errors(DeclaredIssuers, declared)].map(
      ({ instancePath, message }) => `${variable}: ${instancePath || 'the list'} ${message}.`,
    );
    throw new ConfigError(faults);
  }
  const faults = declared.flatMap((one) =>
    faultsOf(one).map((fault) => `${variable}: ${one.name} ${fault}.`),
  );
  for (const key of ['name', 'issuer'] as const)
    if (new Set(declared.map((one) => one[key])).size < declared.length)
      faults.push(`${variable}: two providers have the same ${key}.`);
  if (faults.length > 0) throw new ConfigError(faults);
  return declared.map(({ algorithms, clockSkewSeconds, ...rest }) => ({
    ...rest,
    algorithms: [...(algorithms ?? ALGORITHMS)],
    clockSkewSeconds: clockSkewSeconds ?? CLOCK_SKEW_SECONDS,
  }));
}

function faultsOf({ issuer, jwksUrl }: Static<typeof DeclaredIssuer>): string[] {
  return [
    ...(isSafeAddress(issuer) ? [] : ['has an issuer that is no https address']),
    ...(jwksUrl === undefined || isSafeAddress(jwksUrl) ? [] : ['has a jwksUrl that is no https address']),
  ];
}

/** Keys that come over plain HTTP could be anybody's, unless they come from this very machine. */
export function isSafeAddress(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, host } = new URL(text);
  return protocol === 'https:' || (protocol === 'http:' && isLoopbackHost(host));
}
