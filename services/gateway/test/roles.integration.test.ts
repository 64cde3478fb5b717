import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createAuth, createLogger, PLATFORM_TENANT } from '@millrace/service-kit';
import { eventually } from '@millrace/testing';
import type { Backend, Call, Gateway } from './fixtures.ts';
import { callerOf, startBackend, startGateway } from './fixtures.ts';

let gateway: Gateway;
let backend: Backend;
let call: Call;
/** Keys of an admin of another tenant. */
let acme: string;

beforeAll(async () => {
  backend = await startBackend((_request, response) => response.end('{}'));
  gateway = await startGateway({ upstreams: { registry: backend.origin } });
  call = callerOf(gateway);
  expect((await call('/v1/tenants', { body: { id: 'acme', note: 'a customer' } })).status).toBe(201);
  await call('/v1/principals', { body: { id: 'boss', tenant: 'acme', roles: ['admin'] } });
  acme = await keyOf({ principal: 'boss', tenant: 'acme' });
});
afterAll(async () => {
  await gateway.close();
  await backend.close();
});

async function keyOf(body: object, by?: string): Promise<string> {
  const made = await call('/v1/keys', { body, ...(by !== undefined && { key: by }) });
  expect(made).toMatchObject({ status: 201 });
  return made.body.key as string;
}

describe('roles', () => {
  test('bound every key of their principal, at once when they change', async () => {
    await call('/v1/principals', { body: { id: 'tess', roles: ['trainer'] } });
    const follows = await call('/v1/keys', { body: { principal: 'tess' } });
    expect(follows.body.scopes).toEqual(expect.arrayContaining(['train', 'models:write', 'predict']));
    const greedy = await call('/v1/keys', { body: { principal: 'tess', scopes: ['train', 'operate'] } });
    expect(greedy.body).toMatchObject({ scopes: ['train'] });
    const none = await call('/v1/keys', { body: { principal: 'tess', scopes: ['operate'] } });
    expect(none.body).toMatchObject({ code: 'invalid_request' });
    await call('/v1/principals/tess', { method: 'PATCH', body: { roles: ['viewer'] } });
    const { items } = (await call('/v1/keys')).body as { items: { id: string; scopes: string[] }[] };
    expect(items.find(({ id }) => id === follows.body.id)?.scopes.sort()).toEqual([
      'data:read',
      'models:read',
      'monitor',
    ]);
    expect(items.find(({ id }) => id === greedy.body.id)?.scopes).toEqual([]);
  });

  test('an approver can approve and see, and change nothing else', async () => {
    const key = await call('/v1/keys', { body: { principal: 'abe', roles: ['approver'] } });
    expect((key.body.scopes as string[]).sort()).toEqual([
      'data:read',
      'models:approve',
      'models:read',
      'monitor',
    ]);
  });

  test('a principal that is disabled is out at once, and back when enabled', async () => {
    await call('/v1/principals', { body: { id: 'max', roles: ['admin'] } });
    const key = await keyOf({ principal: 'max' });
    expect((await call('/v1/keys', { key })).status).toBe(200);
    const disabled = await call('/v1/principals/max', { method: 'PATCH', body: { disabled: true } });
    expect(disabled.body.disabledAt).not.toBeNull();
    await eventually(async () => expect((await call('/v1/keys', { key })).status).toBe(401));
    const refused = await call('/v1/keys', { body: { principal: 'max', scopes: ['predict'] } });
    expect(refused.body).toMatchObject({ code: 'principal_disabled' });
    await call('/v1/principals/max', { method: 'PATCH', body: { disabled: false } });
    await eventually(async () => expect((await call('/v1/keys', { key })).status).toBe(200));
  });

  test('the last admin of a tenant stays, however two are taken away at once', async () => {
    const patch = (id: string, body: object) => call(`/v1/principals/${id}`, { method: 'PATCH', body });
    for (const body of [{ roles: [] }, { roles: ['trainer'] }, { disabled: true }])
      expect((await patch('boss', body)).body).toMatchObject({ code: 'last_admin', status: 409 });
    await call('/v1/principals', { body: { id: 'deputy', tenant: 'acme', roles: ['admin'] } });
    const both = await Promise.all([patch('boss', { roles: [] }), patch('deputy', { disabled: true })]);
    expect(both.map(({ status }) => status).sort()).toEqual([200, 409]);
    await patch('boss', { roles: ['admin'] });
  });

  test('bad requests', async () => {
    const bad: [object, string][] = [
      [{ id: 'x', roles: ['king'] }, 'invalid_request'],
      [{ id: '../x', roles: [] }, 'invalid_request'],
      [{ id: 'corp:ann', roles: ['admin'] }, 'invalid_request'],
      [{ id: 'x', tenant: 'nobody', roles: [] }, 'tenant_not_found'],
      [{ id: 'admin', roles: [] }, 'principal_exists'],
      [{ id: 'x', roles: [], scopes: [] }, 'unknown_field'],
    ];
    for (const [body, code] of bad)
      expect((await call('/v1/principals', { body })).body).toMatchObject({ code });
    expect((await call('/v1/principals/x')).body).toMatchObject({ code: 'principal_not_found' });
    expect((await call('/v1/principals/admin', { method: 'PATCH', body: {} })).status).toBe(400);
    const orphan = await call('/v1/keys', {
      body: { principal: 'x', tenant: 'nobody', scopes: ['predict'] },
    });
    expect(orphan.body).toMatchObject({ code: 'tenant_not_found' });
  });
});

describe('tenants', () => {
  test('an admin of one looks after it and sees no other', async () => {
    const own = await call('/v1/principals', { key: acme, body: { id: 'amy', roles: ['viewer'] } });
    expect(own.body).toMatchObject({ id: 'amy', tenant: 'acme', createdBy: 'boss' });
    const refusals: [string, object, string][] = [
      ['/v1/tenants', { body: { id: 'shadow' } }, 'tenant_forbidden'],
      ['/v1/tenants/acme', { method: 'PATCH', body: { limits: {} } }, 'tenant_forbidden'],
      ['/v1/tenants/default', {}, 'tenant_not_found'],
      ['/v1/principals', { body: { id: 'mole', tenant: 'default', roles: ['admin'] } }, 'tenant_forbidden'],
      ['/v1/principals?tenant=default', {}, 'tenant_forbidden'],
      ['/v1/principals/admin', { method: 'PATCH', body: { disabled: true } }, 'principal_not_found'],
      ['/v1/keys', { body: { principal: 'mole', tenant: 'default', scopes: ['admin'] } }, 'tenant_forbidden'],
      ['/v1/keys', { body: { principal: 'admin', scopes: ['predict'] } }, 'invalid_request'],
      ['/v1/keys', { body: { principal: 'amos', scopes: ['operate'] } }, 'scope_missing'],
      ['/v1/keys/bootstrap', { method: 'DELETE' }, 'key_not_found'],
      ['/v1/status', {}, 'scope_missing'],
      ['/v1/dead-letters', {}, 'scope_missing'],
      ['/metrics', {}, 'scope_missing'],
    ];
    for (const [path, options, code] of refusals)
      expect([path, (await call(path, { ...options, key: acme })).body]).toMatchObject([path, { code }]);
    for (const path of ['/v1/keys', '/v1/principals', '/v1/tenants']) {
      const { items } = (await call(path, { key: acme })).body as {
        items: { tenant?: string; id: string }[];
      };
      expect(new Set(items.map(({ tenant, id }) => tenant ?? id))).toEqual(new Set(['acme']));
    }
  });

  test('a disabled one has no key that works, anywhere; the platform cannot disable itself', async () => {
    await call('/v1/tenants', { body: { id: 'gone' } });
    const key = await keyOf({ principal: 'gil', tenant: 'gone', scopes: ['models:read'] });
    expect((await call('/v1/models', { key })).status).toBe(200);
    const elsewhere = createAuth({
      mode: 'required',
      keySet: gateway.keySet,
      logger: createLogger({ service: 'other', level: 'silent' }),
    });
    const away = { host: 'x', origin: undefined, remoteAddress: '10.0.0.1' };
    const who = async () => elsewhere.authenticate({ ...away, authorization: `Bearer ${key}` });
    expect(await who()).toMatchObject({ tenant: 'gone' });
    await call('/v1/tenants/gone', { method: 'PATCH', body: { disabled: true } });
    await eventually(async () => expect(who()).rejects.toThrow('No valid API key'));
    const more = await call('/v1/keys', { body: { principal: 'gil', tenant: 'gone', scopes: ['predict'] } });
    expect(more.body).toMatchObject({ code: 'principal_disabled' });
    const own = await call(`/v1/tenants/${PLATFORM_TENANT}`, { method: 'PATCH', body: { disabled: true } });
    expect(own.body).toMatchObject({ code: 'invalid_request' });
    expect((await call('/v1/tenants', { body: { id: 'gone' } })).body).toMatchObject({
      code: 'tenant_exists',
    });
  });

  test('pages hold every one once, also of those made in the same moment', async () => {
    const ids = Array.from({ length: 7 }, (_, index) => `page-${index}`);
    const made = await Promise.all(ids.map((id) => call('/v1/tenants', { body: { id } })));
    expect(made.map(({ status }) => status)).toEqual(ids.map(() => 201));
    const seen: string[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const page = await call(`/v1/tenants?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`);
      const { items, nextCursor } = page.body as { items: { id: string }[]; nextCursor: string | null };
      seen.push(...items.map(({ id }) => id));
      cursor = nextCursor;
    }
    expect(seen.length).toBe(new Set(seen).size);
    expect(seen).toEqual(expect.arrayContaining([...ids, 'default', 'acme']));
  });
});
