import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '@millrace/testing';
import type { Call, Gateway } from './fixtures.ts';
import { callerOf, startGateway } from './fixtures.ts';

type Fact = { name: string; owner: string | undefined; text: string; data: Record<string, unknown> };

/** Characters of the secret at the end of a key. */
const SECRET_LENGTH = 43;
const SUBJECT = /^millrace\.evt\.(.+)\.v1$/;
let gateway: Gateway;
let call: Call;
const facts: Fact[] = [];

beforeAll(async () => {
  gateway = await startGateway({});
  call = callerOf(gateway);
  gateway.bus.nc.subscribe('millrace.evt.>', {
    callback: (_error, message) => {
      const name = SUBJECT.exec(message.subject)?.[1] ?? message.subject;
      const owner = message.headers?.get('millrace-tenant');
      const data = message.json<Record<string, unknown>>();
      // of its first key, which is told when it starts
      if (data.by !== 'launcher') facts.push({ name, owner, text: message.string(), data });
    },
  });
});
afterAll(async () => await gateway.close());

/** Does something by HTTP, and gives its answer and the facts that follow, in their order. */
async function told(
  count: number,
  method: string,
  path: string,
  body?: object,
): Promise<{ answer: Record<string, unknown>; facts: Fact[] }> {
  facts.length = 0;
  const { status, body: answer } = await call(path, { method, ...(body !== undefined && { body }) });
  expect([path, Math.floor(status / 100), answer]).toEqual([path, 2, answer]);
  await eventually(() => expect(facts.length).toBeGreaterThanOrEqual(count));
  return { answer, facts: [...facts] };
}

describe('changes of who may do what are facts', () => {
  test('a tenant is made, bounded and disabled', async () => {
    const made = await told(1, 'POST', '/v1/tenants', { id: 'acme', limits: { models: 3 } });
    const acme = { tenant: 'acme', by: 'admin' };
    // of the platform, whose admins make tenants; what happens to it then is its own
    expect(made.facts).toMatchObject([
      { name: 'tenant.created', owner: 'default', data: { ...acme, limits: { models: 3 }, disabled: false } },
    ]);
    const changed = await told(1, 'PATCH', '/v1/tenants/acme', { limits: {}, disabled: true });
    expect(changed.facts).toMatchObject([
      { name: 'tenant.changed', owner: 'acme', data: { ...acme, limits: {}, disabled: true } },
    ]);
    await told(1, 'PATCH', '/v1/tenants/acme', { disabled: false });
  });

  test('a principal is made and changed', async () => {
    const body = { id: 'vera', tenant: 'acme', roles: ['viewer'] };
    const made = await told(1, 'POST', '/v1/principals', body);
    const vera = { principal: 'vera', tenant: 'acme', by: 'admin' };
    expect(made.facts).toMatchObject([
      { name: 'principal.created', owner: 'acme', data: { ...vera, roles: ['viewer'], disabled: false } },
    ]);
    const changed = await told(1, 'PATCH', '/v1/principals/vera', { roles: ['trainer'], disabled: true });
    expect(changed.facts).toMatchObject([
      { name: 'principal.changed', owner: 'acme', data: { ...vera, roles: ['trainer'], disabled: true } },
    ]);
  });

  test('a key is made, with the principal that it brings, and revoked once; no fact holds its secret', async () => {
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    const body = { principal: 'ci', tenant: 'acme', scopes: ['predict'], expiresAt };
    const { answer, facts: made } = await told(2, 'POST', '/v1/keys', body);
    const key = { keyId: answer.id, principal: 'ci', tenant: 'acme', by: 'admin' };
    expect(made).toHaveLength(2);
    expect(made).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          name: 'principal.created',
          data: expect.objectContaining({ principal: 'ci', roles: null }),
        }),
        expect.objectContaining({
          name: 'api-key.created',
          owner: 'acme',
          data: { ...key, scopes: ['predict'], roles: [], expiresAt },
        }),
      ]),
    );
    const secret = String(answer.key).slice(-SECRET_LENGTH);
    expect(secret).toMatch(/^[\w-]{43}$/);
    for (const { text } of made) expect(text).not.toContain(secret);

    const revoked = await told(1, 'DELETE', `/v1/keys/${String(answer.id)}`);
    expect(revoked.facts).toMatchObject([{ name: 'api-key.revoked', owner: 'acme', data: key }]);
    // again it changes nothing, and so tells nothing: the next fact is of the next change
    await call(`/v1/keys/${String(answer.id)}`, { method: 'DELETE' });
    const after = await told(1, 'PATCH', '/v1/principals/vera', { note: 'on leave' });
    expect(after.facts.map(({ name }) => name)).toEqual(['principal.changed']);
  });

  test('a webhook is made, changed and deleted; no fact holds its secret or the path of its address', async () => {
    const url = 'https://example.com/hooks/T0-secret';
    const { answer, facts: made } = await told(1, 'POST', '/v1/webhooks', { url, types: ['*.failed'] });
    const path = `/v1/webhooks/${String(answer.id)}`;
    const hook = { webhookId: answer.id, tenant: 'default', origin: 'https://example.com', by: 'admin' };
    expect(made).toMatchObject([
      { name: 'webhook.created', owner: 'default', data: { ...hook, types: ['*.failed'], disabled: false } },
    ]);
    const changed = await told(1, 'PATCH', path, { types: ['*'], enabled: false, note: '' });
    expect(changed.facts).toMatchObject([
      {
        name: 'webhook.changed',
        data: { ...hook, changes: ['types', 'enabled'], types: ['*'], disabled: true },
      },
    ]);
    // again it changes nothing
    await call(path, { method: 'PATCH', body: { types: ['*'], enabled: false } });
    const rotated = await told(1, 'POST', `${path}/rotate-secret`, {});
    expect(rotated.facts).toMatchObject([{ name: 'webhook.changed', data: { changes: ['secret'] } }]);
    const deleted = await told(1, 'DELETE', path);
    expect(deleted.facts).toMatchObject([{ name: 'webhook.deleted', owner: 'default', data: hook }]);
    for (const { text } of [made, changed.facts, rotated.facts, deleted.facts].flat()) {
      expect(text).not.toContain('T0-secret');
      expect(text).not.toContain(String(answer.secret));
      expect(text).not.toContain(String(rotated.answer.secret));
    }
  });

  test('what is refused is no fact', async () => {
    facts.length = 0;
    const refused = [
      ['POST', '/v1/tenants', { id: 'acme' }],
      ['POST', '/v1/principals', { id: 'vera', tenant: 'acme', roles: [] }],
      ['POST', '/v1/keys', { principal: 'vera', tenant: 'acme', scopes: ['predict'] }],
      ['PATCH', '/v1/tenants/default', { disabled: true }],
    ] as const;
    for (const [method, path, body] of refused)
      expect((await call(path, { method, body })).status).toBeGreaterThanOrEqual(400);
    const after = await told(1, 'PATCH', '/v1/principals/vera', { note: 'back' });
    expect(after.facts.map(({ name }) => name)).toEqual(['principal.changed']);
  });
});
