import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { Principal } from '@millrace/service-kit';
import { connectAuth, createLogger } from '@millrace/service-kit';
import { eventually } from '@millrace/testing';
import type { CryptoKey } from 'jose';
import { exportSPKI, importJWK } from 'jose';
import type { Backend, Call, Gateway } from '../fixtures.ts';
import { callerOf, SEEK_INTERVAL_MS, startBackend, startGateway } from '../fixtures.ts';
import type { IdentityProvider, SigningKey } from './identity-provider.ts';
import { createSigningKey, forge, issuerOf, startIdentityProvider } from './identity-provider.ts';

/** A service asks the gateway for newer keys no more often. */
const SERVICE_SEEK_INTERVAL_MS = 2_100;

let key: SigningKey;
let provider: IdentityProvider;
let other: IdentityProvider;
let backend: Backend;
let gateway: Gateway;
let call: Call;
let folder: string;
/** Another service: it sees the key set over NATS and never the provider. */
let service: ReturnType<typeof connectAuth>;

beforeAll(async () => {
  // the provider warns that it keeps its tokens in memory
  for (const level of ['warn', 'info'] as const) jest.spyOn(console, level).mockReturnValue();
  key = await createSigningKey('k1');
  [provider, other] = await Promise.all([startIdentityProvider(key), startIdentityProvider(key)]);
  backend = await startBackend((_request, response) => response.end('{}'));
  gateway = await startGateway({
    upstreams: { registry: backend.origin },
    issuers: [issuerOf(provider), issuerOf({ issuer: 'https://away.invalid' }, 'away')],
  });
  call = callerOf(gateway);
  await call('/v1/tenants', { body: { id: 'acme' } });
  folder = mkdtempSync(join(tmpdir(), 'millrace-oidc-test-'));
  const authPublicKeyFile = join(folder, 'gateway.pub.pem');
  writeFileSync(authPublicKeyFile, gateway.publicKeyPem);
  const logger = createLogger({ service: 'other', level: 'silent' });
  service = connectAuth(gateway.bus, { authMode: 'required', authPublicKeyFile }, logger);
  await eventually(async () => expect(await codeAt(service.auth, await provider.token())).toBe('none'));
});
afterAll(async () => {
  service.close();
  await gateway.close();
  await Promise.all([provider.close(), other.close(), backend.close()]);
  rmSync(folder, { recursive: true });
});

async function who(auth: typeof service.auth, token: string): Promise<Principal> {
  const away = { host: 'x', origin: undefined, remoteAddress: '10.0.0.1' };
  return await auth.authenticate({ ...away, authorization: `Bearer ${token}` });
}

async function codeAt(auth: typeof service.auth, token: string): Promise<string> {
  try {
    await who(auth, token);
    return 'none';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

const atGateway = async (token: string) => (await call('/v1/models', { key: token })).body;

describe('a token of a real provider', () => {
  test('makes the principal that the mapping says, at the gateway and in every service for itself', async () => {
    const token = await provider.token();
    expect((await call('/v1/models', { key: token })).status).toBe(200);
    const principal = await who(service.auth, token);
    expect(principal).toMatchObject({ id: 'corp:trainer-bot', tenant: 'acme' });
    expect(principal.scopes).toEqual(expect.arrayContaining(['train', 'monitor']));
    expect(principal.scopes).not.toContain('admin');
    expect((await call('/v1/keys', { key: token })).body).toMatchObject({ code: 'scope_missing' });
  });

  test('of an admin reaches as far as its tenant', async () => {
    provider.claims = { tenant: 'acme', groups: ['ml-admins'] };
    const admin = await provider.token();
    expect((await call('/v1/principals', { key: admin })).status).toBe(200);
    expect((await call('/v1/status', { key: admin })).body).toMatchObject({ code: 'scope_missing' });
    provider.claims = { tenant: 'acme', groups: ['ml-trainers'] };
  });

  test('is verified once: the provider may be away, and the same principal comes back', async () => {
    const token = await provider.token();
    const first = await who(service.auth, token);
    expect(
      service.auth.authenticate({
        host: 'x',
        origin: undefined,
        remoteAddress: '10.0.0.1',
        authorization: `Bearer ${token}`,
      }),
    ).toBe(first);
  });

  test('is out as soon as its principal or tenant is disabled', async () => {
    await call('/v1/tenants', { body: { id: 'short-lived' } });
    const token = await forge(provider, key, { claims: { tenant: 'short-lived', sub: 'sam' } });
    await eventually(async () => expect(await codeAt(service.auth, token)).toBe('none'));
    const made = await call('/v1/principals', { body: { id: 'corp:sam', tenant: 'short-lived', roles: [] } });
    expect(made.status).toBe(201);
    await call('/v1/principals/corp:sam', { method: 'PATCH', body: { disabled: true } });
    await eventually(async () => expect(await codeAt(service.auth, token)).toBe('token_invalid'));
    await call('/v1/principals/corp:sam', { method: 'PATCH', body: { disabled: false } });
    await eventually(async () => expect(await codeAt(service.auth, token)).toBe('none'));
    await call('/v1/tenants/short-lived', { method: 'PATCH', body: { disabled: true } });
    await eventually(async () => expect(await codeAt(service.auth, token)).toBe('token_invalid'));
    expect(await atGateway(token)).toMatchObject({
      detail: expect.stringContaining("no tenant 'short-lived'"),
    });
  });
});

describe('refused, with the reason', () => {
  const soon = () => Math.floor(Date.now() / 1_000);
  const cases: [string, () => Promise<string>, RegExp][] = [
    ['expired', () => forge(provider, key, { claims: { iat: soon() - 600, exp: soon() - 60 } }), /expired/],
    ['not yet valid', () => forge(provider, key, { claims: { nbf: soon() + 60 } }), /claim nbf/],
    ['from the future', () => forge(provider, key, { claims: { iat: soon() + 60 } }), /claim iat/],
    ['issued too long ago', () => forge(provider, key, { claims: { iat: soon() - 200_000 } }), /expired|iat/],
    ['without exp', () => forge(provider, key, { claims: { exp: undefined as never } }), /claim exp/],
    ['for another audience', () => forge(provider, key, { claims: { aud: 'https://else' } }), /claim aud/],
    ['of another issuer', () => other.token(), /none that this platform trusts/],
    [
      'of another issuer under the name of ours',
      async () => await forge(provider, await createSigningKey('k1')),
      /signature does not fit/,
    ],
    [
      'with an unknown key',
      async () => await forge(provider, await createSigningKey('k9')),
      /does not publish/,
    ],
    ['that names no key', () => forge(provider, key, { header: { kid: undefined } }), /names no key/],
    [
      'of an unknown tenant',
      () => forge(provider, key, { claims: { tenant: 'nobody' } }),
      /no tenant 'nobody'/,
    ],
    ['of no tenant', () => forge(provider, key, { claims: { tenant: undefined } }), /names no tenant/],
    [
      'of a strange subject',
      () => forge(provider, key, { claims: { sub: '../x' } }),
      /sub names no principal/,
    ],
    ['with the algorithm none', unsigned, /alg\)|malformed/],
    ['signed by HMAC with the public key', hmacWithPublicKey, /alg\)/],
    ['cut short', async () => (await provider.token()).slice(0, -8), /signature does not fit/],
    ['with another claim inside', tampered, /signature does not fit/],
    [
      'over the bound',
      () => forge(provider, key, { claims: { padding: 'x'.repeat(9_000) } }),
      /over the bound of 8192/,
    ],
  ];
  test.each(cases)('%s', async (_name, make, reason) => {
    const token = await make();
    const answer = await call('/v1/models', { key: token });
    expect(answer.body).toMatchObject({
      code: 'token_invalid',
      status: 401,
      detail: expect.stringMatching(reason),
    });
    expect(answer.headers.get('www-authenticate')).toContain('invalid_token');
    expect(await codeAt(service.auth, token)).toBe('token_invalid');
  });

  test('a provider whose keys never came is a 503, which the list of providers explains', async () => {
    const token = await forge({ issuer: 'https://away.invalid' }, key);
    expect(await atGateway(token)).toMatchObject({ code: 'dependency_unavailable' });
    const { items } = (await call('/v1/identity-providers')).body as { items: object[] };
    expect(items).toMatchObject([
      { name: 'corp', keys: [{ kid: 'k1', kty: 'EC' }], fault: null },
      { name: 'away', keys: [], fetchedAt: null, fault: expect.stringContaining('fetch failed') },
    ]);
  });

  async function unsigned(): Promise<string> {
    const [, payload] = (await provider.token()).split('.');
    return `${Buffer.from('{"alg":"none","kid":"k1"}').toString('base64url')}.${payload}.`;
  }

  async function hmacWithPublicKey(): Promise<string> {
    const header = Buffer.from('{"alg":"HS256","kid":"k1"}').toString('base64url');
    const signed = `${header}.${(await provider.token()).split('.')[1]}`;
    const secret = await exportSPKI((await importJWK(key.publicJwk)) as CryptoKey);
    return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
  }

  async function tampered(): Promise<string> {
    const [header, payload, signature] = (await provider.token()).split('.') as [string, string, string];
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object;
    const other = Buffer.from(JSON.stringify({ ...claims, groups: ['ml-admins'] })).toString('base64url');
    return `${header}.${other}.${signature}`;
  }
});

describe('keys of a provider', () => {
  test('a new one is found by its first token, even where only a service sees it; a removed one is out', async () => {
    const old = await provider.token();
    const next = await createSigningKey('k2', 'RS256');
    await new Promise((resolve) => setTimeout(resolve, SERVICE_SEEK_INTERVAL_MS));
    provider.rotate([next]);
    const token = await provider.token();
    const before = provider.keyFetches();
    const seen = await Promise.all(Array.from({ length: 20 }, () => codeAt(service.auth, token)));
    expect(new Set(seen)).toEqual(new Set(['none']));
    expect(provider.keyFetches() - before).toBe(1);
    expect((await call('/v1/models', { key: token })).status).toBe(200);
    expect(await codeAt(service.auth, old)).toBe('token_invalid');
    expect(await atGateway(old)).toMatchObject({ code: 'token_invalid' });
  });

  test('unknown ones make few fetches, whoever sends them', async () => {
    const before = provider.keyFetches();
    const stranger = await createSigningKey('stranger');
    for (let sent = 0; sent < 20; sent += 1)
      expect(
        await atGateway(await forge(provider, stranger, { claims: { jti: String(sent) } })),
      ).toMatchObject({
        code: 'token_invalid',
      });
    expect(provider.keyFetches() - before).toBeLessThanOrEqual(1);
  });

  test('those that are held stay in use while the provider is away, and the list says so', async () => {
    const token = await provider.token();
    provider.fail(true);
    await new Promise((resolve) => setTimeout(resolve, SEEK_INTERVAL_MS));
    expect(await atGateway(await forge(provider, await createSigningKey('k3')))).toMatchObject({
      code: 'token_invalid',
    });
    expect((await call('/v1/models', { key: token })).status).toBe(200);
    const { items } = (await call('/v1/identity-providers')).body as { items: object[] };
    expect(items[0]).toMatchObject({ keys: [{ kid: 'k2' }], fault: expect.stringContaining('503') });
    provider.fail(false);
  });
});
