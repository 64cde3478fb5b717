import type { RequestListener } from 'node:http';
import type { CryptoKey, JWK, JWTPayload } from 'jose';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import type { Issuer } from '../../src/oidc/issuer-config.ts';
import type { Backend } from '../fixtures.ts';
import { startBackend } from '../fixtures.ts';

export const AUDIENCE = 'https://millrace.example';
const CLIENT = { id: 'trainer-bot', secret: 'a-secret-of-at-least-32-characters!' };

/** A signing key of a provider, both halves. */
export type SigningKey = { kid: string; privateKey: CryptoKey; publicJwk: JWK; privateJwk: JWK };

export async function createSigningKey(kid: string, alg = 'ES256'): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  const about = { kid, alg, use: 'sig' };
  return {
    kid,
    privateKey,
    publicJwk: { ...(await exportJWK(publicKey)), ...about },
    privateJwk: { ...(await exportJWK(privateKey)), ...about },
  };
}

/** A certified OpenID provider (npm oidc-provider) on loopback; its claims and keys are what a test wants. */
export type IdentityProvider = {
  readonly issuer: string;
  /** Requests for its keys so far. */
  keyFetches(): number;
  /** Signs with these keys from now on, the first of them. */
  rotate(keys: readonly SigningKey[]): void;
  /** Answers nothing but 503 while true. */
  fail(isFailing: boolean): void;
  /** Claims that it adds to each token. */
  claims: Record<string, unknown>;
  /** An access token by the flow of client credentials. */
  token(): Promise<string>;
  close(): Promise<void>;
};

type ProviderModule = {
  default: new (issuer: string, options: object) => { callback(): RequestListener };
};

export async function startIdentityProvider(first: SigningKey): Promise<IdentityProvider> {
  const { default: Provider } = (await import('oidc-provider' as string)) as ProviderModule;
  let answer: RequestListener;
  let isFailing = false;
  let keyFetches = 0;
  const backend: Backend = await startBackend((request, response) => {
    if (request.url?.includes('jwks') === true) keyFetches += 1;
    if (isFailing) return void response.writeHead(503).end();
    void answer(request, response);
  });
  const issuer = backend.origin;
  const started: IdentityProvider = {
    issuer,
    claims: { tenant: 'acme', groups: ['ml-trainers', 'chess-club'] },
    keyFetches: () => keyFetches,
    fail(value) {
      isFailing = value;
    },
    rotate(keys) {
      const options = optionsOf(keys, () => started.claims);
      answer = new Provider(issuer, options).callback();
    },
    async token() {
      const response = await fetch(`${issuer}/token`, {
        method: 'POST',
        headers: { authorization: `Basic ${btoa(`${CLIENT.id}:${encodeURIComponent(CLIENT.secret)}`)}` },
        body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'ml' }),
      });
      const { access_token: token } = (await response.json()) as { access_token?: string };
      if (token === undefined) throw new Error(`no token: ${response.status}`);
      return token;
    },
    close: backend.close,
  };
  started.rotate([first]);
  return started;
}

function optionsOf(keys: readonly SigningKey[], claims: () => Record<string, unknown>): object {
  const [{ publicJwk }] = keys as [SigningKey];
  return {
    jwks: { keys: keys.map(({ privateJwk }) => privateJwk) },
    clients: [
      {
        client_id: CLIENT.id,
        client_secret: CLIENT.secret,
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
        id_token_signed_response_alg: publicJwk.alg,
      },
    ],
    enabledJWA: { idTokenSigningAlgValues: ['ES256', 'RS256', 'EdDSA'] },
    cookies: { keys: ['unused-here'] },
    extraTokenClaims: claims,
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => AUDIENCE,
        getResourceServerInfo: () => ({
          scope: 'ml',
          audience: AUDIENCE,
          accessTokenTTL: 600,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: publicJwk.alg } },
        }),
      },
    },
  };
}

/** How the tests' gateway maps the claims of a provider. */
export function issuerOf(provider: { issuer: string }, name = 'corp'): Issuer {
  return {
    name,
    issuer: provider.issuer,
    audiences: [AUDIENCE],
    algorithms: ['ES256', 'RS256', 'EdDSA'],
    clockSkewSeconds: 5,
    claims: {
      tenant: { claim: 'tenant' },
      roles: { claim: 'groups', map: { 'ml-trainers': 'trainer', 'ml-admins': 'admin' }, always: ['viewer'] },
    },
  };
}

const nowSeconds = (): number => Math.floor(Date.now() / 1_000);

/** A token that no provider would give, signed with its key all the same. */
export async function forge(
  provider: { issuer: string },
  key: SigningKey,
  more: { claims?: JWTPayload; header?: Record<string, unknown> } = {},
): Promise<string> {
  const payload = {
    iss: provider.issuer,
    aud: AUDIENCE,
    sub: 'ann',
    tenant: 'acme',
    iat: nowSeconds(),
    exp: nowSeconds() + 300,
    ...more.claims,
  };
  return await new SignJWT(payload)
    .setProtectedHeader({ alg: String(key.publicJwk.alg), kid: key.kid, ...more.header })
    .sign(key.privateKey);
}
