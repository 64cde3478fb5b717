import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  createApiKey,
  createAuth,
  createKeySetClient,
  createLogger,
  KEY_SET_SUBJECT,
  verifyKeySet,
} from '@millrace/service-kit';
import { eventually } from '@millrace/testing';
import type { Call, Gateway } from './fixtures.ts';
import { callerOf, startGateway } from './fixtures.ts';

let gateway: Gateway;
let call: Call;
beforeAll(async () => {
  gateway = await startGateway({ ratePerSecond: 50 });
  call = callerOf(gateway);
});
afterAll(async () => await gateway.close());

type Made = { id: string; key: string };
async function make(more: object = {}): Promise<Made> {
  const made = await call('/v1/keys', {
    method: 'POST',
    body: { principal: 'ann', scopes: ['predict'], ...more },
  });
  expect(made.status).toBe(201);
  return made.body as unknown as Made;
}

describe('/v1/keys', () => {
  test('a new key works at once, is shown once, and stops when revoked', async () => {
    const made = await make({ scopes: ['operate'], note: 'for the dashboard' });
    expect((await call('/v1/status', { key: made.key })).body).toMatchObject({ principal: 'ann' });
    expect((await call('/v1/keys', { key: made.key })).body).toMatchObject({ code: 'scope_missing' });
    const listed = await call('/v1/keys');
    expect(JSON.stringify(listed.body)).not.toContain(made.key);
    expect(JSON.stringify(listed.body)).not.toContain('sha256');
    const revoked = await call(`/v1/keys/${made.id}`, { method: 'DELETE' });
    expect(revoked.body).toMatchObject({ id: made.id, principal: 'ann', note: 'for the dashboard' });
    expect(revoked.body.revokedAt).not.toBeNull();
    await eventually(async () => expect((await call('/v1/status', { key: made.key })).status).toBe(401));
  });

  test('an expired key is refused', async () => {
    const made = await make({ expiresAt: new Date(Date.now() + 800).toISOString(), scopes: ['operate'] });
    expect((await call('/v1/status', { key: made.key })).status).toBe(200);
    await new Promise((resolve) => setTimeout(resolve, 850));
    expect((await call('/v1/status', { key: made.key })).status).toBe(401);
  });

  test('bad requests', async () => {
    const bad = [
      { principal: 'ann', scopes: ['fly'] },
      { principal: 'ann', scopes: [] },
      { principal: '../ann', scopes: ['predict'] },
      { principal: 'ann', scopes: ['predict'], expiresAt: '2001-01-01T00:00:00Z' },
      { principal: 'ann', scopes: ['predict'], extra: 1 },
    ];
    for (const body of bad) expect((await call('/v1/keys', { method: 'POST', body })).status).toBe(400);
    expect((await call('/v1/keys/never-made', { method: 'DELETE' })).body).toMatchObject({
      code: 'key_not_found',
    });
    expect((await call('/v1/keys?cursor=zzz')).body).toMatchObject({ code: 'invalid_request' });
  });

  test('pages follow each other without gap or repeat', async () => {
    for (let count = 0; count < 5; count++) await make();
    const ids: string[] = [];
    let cursor: string | null = null;
    do {
      const { body } = await call(`/v1/keys?limit=2${cursor === null ? '' : `&cursor=${cursor}`}`);
      const page = body as unknown as { items: Made[]; nextCursor: string | null };
      ids.push(...page.items.map(({ id }) => id));
      cursor = page.nextCursor;
    } while (cursor !== null);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.length).toBeGreaterThanOrEqual(6);
    expect(ids).toContain('bootstrap');
  });
});

describe('the signed key set', () => {
  test('reaches another service, which follows revoked keys by hints and asks for a new one that it is shown', async () => {
    const { bus, publicKeyPem } = gateway;
    const logger = createLogger({ service: 'other', level: 'silent' });
    let hint: () => void = () => undefined;
    const keySet = createKeySetClient({
      publicKeyPem,
      fetch: async (question) => {
        const asked = JSON.stringify(question);
        return (await bus.nc.request(KEY_SET_SUBJECT, asked, { timeout: 2_000 })).json();
      },
      onChanged: (refresh) => {
        hint = refresh;
      },
      logger,
    });
    const auth = createAuth({ mode: 'required', keySet, logger });
    const made = await make();
    const who = async (key = made.key) =>
      auth.authenticate({
        authorization: `Bearer ${key}`,
        host: 'x',
        origin: undefined,
        remoteAddress: '10.0.0.1',
      });
    // no hint came yet
    expect(await who()).toEqual({ id: 'ann', tenant: 'default', scopes: ['predict'] });
    const later = await make();
    expect(await who(later.key)).toMatchObject({ id: 'ann' });
    await expect(who(createApiKey().key)).rejects.toMatchObject({ code: 'auth_required' });
    await call(`/v1/keys/${made.id}`, { method: 'DELETE' });
    expect(await who()).toMatchObject({ id: 'ann' });
    hint();
    await eventually(async () => expect(who()).rejects.toMatchObject({ code: 'auth_required' }));
    expect(await who(later.key)).toMatchObject({ id: 'ann' });
    keySet.close();
  });

  test('holds digests only, and only valid keys', async () => {
    const made = await make();
    const revoked = await make();
    await call(`/v1/keys/${revoked.id}`, { method: 'DELETE' });
    const reply = (await gateway.bus.nc.request(KEY_SET_SUBJECT, '{}', { timeout: 2_000 })).json();
    const { keys } = verifyKeySet(reply, gateway.publicKeyPem);
    expect(keys.map(({ id }) => id)).toEqual(expect.arrayContaining(['bootstrap', made.id]));
    expect(keys.map(({ id }) => id)).not.toContain(revoked.id);
    expect(JSON.stringify(reply)).not.toContain(made.key);
  });
});

test('the bootstrap key: the same twice is no change, a new secret replaces it, a revoked one stays revoked', async () => {
  await gateway.keys.bootstrap(gateway.adminKey);
  expect((await call('/v1/keys')).status).toBe(200);
  await expect(gateway.keys.bootstrap('mlr_short')).rejects.toThrow(/bootstrap token/);
});

test('over the rate: 429 with Retry-After, and only for that principal', async () => {
  const made = await make({ principal: 'busy', scopes: ['operate'] });
  const statuses = await Promise.all(
    Array.from(
      { length: 300 },
      async () => (await call('/v1/dead-letters?limit=1', { key: made.key })).status,
    ),
  );
  expect(statuses).toContain(429);
  expect(statuses.filter((status) => status === 200).length).toBeGreaterThanOrEqual(100);
  const refused = await call('/v1/dead-letters?limit=1', { key: made.key });
  if (refused.status === 429) expect(refused.headers.get('retry-after')).toBe('1');
  expect((await call('/v1/keys?limit=1')).status).toBe(200);
});
