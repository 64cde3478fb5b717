import { describe, expect, test } from '@jest/globals';
import type { AppError } from '@millrace/contracts';
import { generateKeyPair } from '@millrace/integrity';
import type { Credentials, KeyRecord } from '../src/index.ts';
import {
  assertSafeBinding,
  createApiKey,
  createAuth,
  createKeySetClient,
  createKeySetHolder,
  createLogger,
  signKeySet,
  verifyKeySet,
} from '../src/index.ts';

const logger = createLogger({ service: 'test', level: 'silent' });
const local: Credentials = {
  authorization: undefined,
  host: '127.0.0.1:9926',
  origin: undefined,
  remoteAddress: '127.0.0.1',
};

function recordOf(made: { id: string; sha256: string }, more: Partial<KeyRecord> = {}): KeyRecord {
  const { id, sha256 } = made;
  return {
    id,
    sha256,
    principal: 'ann',
    tenant: 'default',
    scopes: ['predict'],
    expiresAt: null,
    revokedAt: null,
    ...more,
  };
}

function authWith(mode: 'local' | 'required', keys: KeyRecord[]) {
  const keySet = createKeySetHolder();
  keySet.replace({ issuedAt: new Date().toISOString(), keys });
  return createAuth({ mode, keySet, logger });
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return (error as AppError).code;
  }
  return 'none';
}

describe('keys', () => {
  test('a good key gives its principal; unknown scopes are dropped', async () => {
    const made = createApiKey();
    const auth = authWith('required', [recordOf(made, { scopes: ['predict', 'fly'] })]);
    const principal = await auth.authenticate({ ...local, authorization: `Bearer ${made.key}` });
    expect(principal).toEqual({ id: 'ann', tenant: 'default', scopes: ['predict'] });
    expect(codeOf(() => auth.authorize(principal, 'train'))).toBe('scope_missing');
    expect(codeOf(() => auth.authorize(principal, 'predict'))).toBe('none');
  });

  test('absent, unknown, altered, expired and revoked keys get the same error', () => {
    const [good, expired, revoked] = [createApiKey(), createApiKey(), createApiKey()];
    const past = new Date(Date.now() - 1000).toISOString();
    const auth = authWith('required', [
      recordOf(good),
      recordOf(expired, { expiresAt: past }),
      recordOf(revoked, { revokedAt: past }),
    ]);
    const altered = good.key.slice(0, -1) + (good.key.endsWith('A') ? 'B' : 'A');
    const messages = [undefined, createApiKey().key, altered, expired.key, revoked.key, 'nonsense', ''].map(
      (key) => {
        try {
          void auth.authenticate({
            ...local,
            authorization: key === undefined ? undefined : `Bearer ${key}`,
          });
        } catch (error) {
          return `${(error as AppError).code}: ${(error as AppError).message}`;
        }
        return 'let in';
      },
    );
    expect(new Set(messages).size).toBe(1);
    expect(messages[0]).toMatch(/^auth_required/);
  });

  test('before the first key set comes a key cannot be judged', () => {
    const auth = createAuth({ mode: 'required', keySet: createKeySetHolder(), logger });
    const authorization = `Bearer ${createApiKey().key}`;
    expect(codeOf(() => auth.authenticate({ ...local, authorization }))).toBe('dependency_unavailable');
  });
});

describe('mode local', () => {
  const auth = authWith('local', []);
  test.each([
    [{}, 'none'],
    [{ host: 'localhost' }, 'none'],
    [{ host: '[::1]:9926', remoteAddress: '::1', origin: 'http://localhost:3000' }, 'none'],
    [{ remoteAddress: '::ffff:127.0.0.1' }, 'none'],
    [{ host: 'evil.example' }, 'host_not_allowed'],
    [{ host: '127.0.0.1.evil.example' }, 'host_not_allowed'],
    [{ host: undefined }, 'host_not_allowed'],
    [{ origin: 'https://evil.example' }, 'host_not_allowed'],
    [{ origin: 'null' }, 'host_not_allowed'],
    [{ remoteAddress: '10.0.0.7' }, 'auth_required'],
    [{ authorization: 'Bearer wrong' }, 'auth_required'],
  ] as [Partial<Credentials>, string][])('%j -> %s', (more, code) => {
    expect(codeOf(() => auth.authenticate({ ...local, ...more }))).toBe(code);
  });

  test('refuses to listen where other machines reach it', () => {
    expect(() => assertSafeBinding('0.0.0.0', 'local')).toThrow(/MILLRACE_AUTH_MODE/);
    expect(() => assertSafeBinding('::', 'local')).toThrow(/MILLRACE_AUTH_MODE/);
    expect(() => assertSafeBinding('0.0.0.0', 'required')).not.toThrow();
    expect(() => assertSafeBinding('127.0.0.1', 'local')).not.toThrow();
  });
});

describe('key set', () => {
  const pair = generateKeyPair();
  const made = createApiKey();
  const keySet = { issuedAt: '2026-01-02T00:00:00.000Z', keys: [recordOf(made)] };

  test('a changed key, a changed time and another signer are refused', () => {
    const signed = signKeySet(keySet, pair.privateKeyPem);
    expect(verifyKeySet(signed, pair.publicKeyPem)).toEqual(keySet);
    const bad = [
      { ...signed, issuedAt: '2027-01-01T00:00:00.000Z' },
      { ...signed, keys: [recordOf(made, { scopes: ['admin'] })] },
      { ...signed, signature: signed.signature.slice(4) },
      signKeySet(keySet, generateKeyPair().privateKeyPem),
      { keys: [] },
    ];
    for (const set of bad)
      expect(codeOf(() => verifyKeySet(set, pair.publicKeyPem))).toBe('signature_invalid');
  });

  test('the client keeps the last good set, refuses an older one and follows hints', async () => {
    const sign = (issuedAt: string, keys: KeyRecord[]) => signKeySet({ issuedAt, keys }, pair.privateKeyPem);
    const answers: (() => unknown)[] = [
      () => sign('2026-01-02T00:00:00.000Z', [recordOf(made)]),
      () => {
        throw new Error('away');
      },
      () => sign('2026-01-01T00:00:00.000Z', []),
      () => ({ ...sign('2026-01-03T00:00:00.000Z', []), signature: 'AAAA' }),
      () => sign('2026-01-04T00:00:00.000Z', []),
    ];
    let hint: () => void = () => undefined;
    const client = createKeySetClient({
      publicKeyPem: pair.publicKeyPem,
      fetch: async () => answers.shift()?.(),
      onChanged: (refresh) => {
        hint = refresh;
      },
      logger,
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(client.isReady()).toBe(true);
    for (let bad = 0; bad < 3; bad++) {
      expect(await client.refresh()).toBe(false);
      expect(client.find(made.id)).toBeDefined();
    }
    hint();
    await new Promise((resolve) => setImmediate(resolve));
    expect(client.find(made.id)).toBeUndefined();
    client.close();
  });
});
