import type { ServerResponse } from 'node:http';
import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createLogger, createMetrics } from '@millrace/service-kit';
import { eventually } from '@millrace/testing';
import { createAuditRepository } from '../../src/audit/audit.repository.ts';
import { startAuditWriter } from '../../src/audit/audit.writer.ts';
import type { AuditEntry } from '../../src/audit/audit-entry.ts';
import type { Backend, Call, Gateway } from '../fixtures.ts';
import { callerOf, startBackend, startGateway } from '../fixtures.ts';

let backend: Backend;
let gateway: Gateway;
let call: Call;
/** Answers of the service behind that wait until the test lets them go. */
const waiting: ServerResponse[] = [];

beforeAll(async () => {
  backend = await startBackend((request, response) => {
    request.resume();
    if (request.url?.includes('slow') === true) waiting.push(response);
    else response.writeHead(request.url?.includes('forbidden') === true ? 403 : 200).end('{}');
  });
  gateway = await startGateway({ upstreams: { registry: backend.origin, inference: backend.origin } });
  call = callerOf(gateway);
});
afterAll(async () => {
  await gateway.close();
  await backend.close();
});

type Entry = {
  seq: number;
  kind: string;
  principal: string;
  resource: string;
  status: number;
  code: string | null;
};
const log = async (query = ''): Promise<Entry[]> =>
  (await call(`/v1/audit?limit=100${query}`)).body.items as Entry[];

async function tenantWith(id: string, limits: object): Promise<string> {
  await call('/v1/tenants', { body: { id, limits } });
  const made = await call('/v1/keys', {
    body: { principal: `user-of-${id}`, tenant: id, scopes: ['predict'] },
  });
  return made.body.key as string;
}

describe('the log', () => {
  test('has every change that passed through and who made it, without query, body or key', async () => {
    const headers = { 'x-request-id': 'request-of-the-test' };
    await call('/v1/models/iris/versions/1/stage?why=secret-word', { body: { secret: 'word' }, headers });
    await call('/v1/models/iris');
    const [entry] = await log('&method=POST');
    expect(entry).toMatchObject({
      kind: 'request',
      principal: 'admin',
      tenant: 'default',
      method: 'POST',
      route: '/v1/models/*',
      resource: '/v1/models/iris/versions/1/stage',
      status: 200,
      requestId: 'request-of-the-test',
      remoteAddress: expect.stringContaining('127.0.0.1'),
    });
    const text = JSON.stringify(await log());
    for (const secret of ['secret', gateway.adminKey, '"/v1/models/iris"'])
      expect(text).not.toContain(secret);
  });

  test('has refusals, the reason of ours, and those of the services', async () => {
    await call('/v1/models', { key: `mlr_nobody_${'x'.repeat(43)}` });
    await call('/v1/models/forbidden');
    await call(`/v1/models/mlr_abc_${'y'.repeat(43)}`, { method: 'DELETE' });
    const denials = await log('&kind=denial');
    expect(denials).toMatchObject([
      { principal: 'admin', status: 403, code: null, resource: '/v1/models/forbidden' },
      { principal: 'anonymous', status: 401, code: 'auth_required' },
    ]);
    expect(JSON.stringify(await log())).not.toContain('yyyy');
  });

  test('has a change of who may do what before its answer comes', async () => {
    const made = await call('/v1/keys', { body: { principal: 'eve', scopes: ['predict'] } });
    const rows = await createAuditRepository(gateway.database.db).list({ tenant: 'default', limit: 1 });
    expect(rows).toMatchObject([{ method: 'POST', resource: '/v1/keys', status: 201, principal: 'admin' }]);
    expect(JSON.stringify(rows)).not.toContain(made.body.key);
  });

  test('leaves predictions out, which the usage of the tenant counts', async () => {
    const key = await tenantWith('counted', {});
    const before = (await log('&tenant=counted')).length;
    for (const path of ['/predict', '/v2/models/iris/infer', '/predict'])
      expect((await call(path, { key, body: {} })).status).toBe(200);
    expect((await log('&tenant=counted')).length).toBe(before);
    await eventually(async () =>
      expect((await call('/v1/tenants/counted/usage')).body).toMatchObject({
        keys: 1,
        principals: 1,
        concurrentRequests: 0,
        lastDay: { requests: 3, predictions: 3, refused: 0 },
        last30Days: { requests: 3 },
      }),
    );
  });

  test('is read page by page, filtered, and only by admins of its tenant', async () => {
    const all = await log();
    const seen: number[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const page = await call(
        `/v1/audit?limit=2&until=${new Date().toISOString()}${cursor && `&cursor=${cursor}`}`,
      );
      const { items, nextCursor } = page.body as { items: Entry[]; nextCursor: string | null };
      seen.push(...items.map(({ seq }) => seq));
      cursor = nextCursor;
    }
    expect(seen).toEqual(all.map(({ seq }) => seq));
    expect(seen).toEqual([...seen].sort((a, b) => b - a));
    expect(await log('&principal=nobody')).toEqual([]);
    const key = await tenantWith('nosy', {});
    expect((await call('/v1/audit', { key })).body).toMatchObject({ code: 'scope_missing' });
    await call('/v1/principals', { body: { id: 'nosy-admin', tenant: 'nosy', roles: ['admin'] } });
    const admin = await call('/v1/keys', { body: { principal: 'nosy-admin', tenant: 'nosy' } });
    const foreign = await call('/v1/audit?tenant=default', { key: admin.body.key as string });
    expect(foreign.body).toMatchObject({ code: 'tenant_forbidden' });
  });
});

describe('the chain', () => {
  const entry = (more: Partial<AuditEntry> = {}): AuditEntry => ({
    tenant: 'chained',
    at: new Date(),
    kind: 'request',
    principal: 'ann',
    method: 'POST',
    route: '/x',
    resource: '/x',
    status: 200,
    code: null,
    requestId: 'r',
    remoteAddress: '10.0.0.1',
    ...more,
  });
  const run = (text: string) => gateway.database.pool.query(text);

  test('holds when several gateways write, refuses changes, and finds what somebody did past the trigger', async () => {
    const { database } = gateway;
    const logger = createLogger({ service: 'test', level: 'silent' });
    const writers = [1, 2, 3].map(() =>
      startAuditWriter({
        database,
        logger,
        metrics: createMetrics({ service: 'gateway', withDefaults: false }),
        retentionDays: 30,
      }),
    );
    for (const writer of writers) for (let made = 0; made < 600; made += 1) writer.add(entry());
    await Promise.all(writers.map((writer) => writer.stop()));
    const check = () => call('/v1/audit/verify?tenant=chained');
    expect((await check()).body).toMatchObject({ verified: true, length: 1_800, removed: 0 });
    for (const statement of [
      "update gateway.audit_log set principal = 'bob' where tenant = 'chained'",
      "delete from gateway.audit_log where tenant = 'chained' and seq = 7",
      'truncate gateway.audit_log',
    ])
      await expect(run(statement)).rejects.toThrow(/append-only/);
    await run('alter table gateway.audit_log disable trigger user');
    await run("update gateway.audit_log set principal = 'bob' where tenant = 'chained' and seq = 7");
    expect((await check()).body).toMatchObject({ code: 'log_chain_broken' });
    await run("update gateway.audit_log set principal = 'ann' where tenant = 'chained' and seq = 7");
    expect((await check()).status).toBe(200);
    await run("delete from gateway.audit_log where tenant = 'chained' and seq > 1790");
    expect((await check()).body).toMatchObject({ code: 'log_chain_broken' });
    await run('alter table gateway.audit_log enable trigger user');
  });

  test('goes on from where the retention cut it', async () => {
    const day = 24 * 60 * 60_000;
    await gateway.database.transaction(async (tx) => {
      const repository = createAuditRepository(tx);
      const old = [40, 39, 38].map((days) => entry({ tenant: 'old', at: new Date(Date.now() - days * day) }));
      await repository.append('old', [...old, entry({ tenant: 'old' })]);
      await repository.cut(new Date(Date.now() - 30 * day));
    });
    const verified = await call('/v1/audit/verify?tenant=old');
    expect(verified.body).toMatchObject({ verified: true, length: 1, removed: 3 });
    expect((await log('&tenant=old')).map(({ seq }) => seq)).toEqual([4]);
  });
});

describe('quotas of a tenant', () => {
  test('bound its rate: 429 with what to wait, and changed bounds count at once', async () => {
    const key = await tenantWith('slowed', { requestsPerSecond: 2 });
    const first = await call('/predict', { key, body: {} });
    expect(first.headers.get('ratelimit-policy')).toBe('"tenant";q=2;w=1');
    expect(first.headers.get('ratelimit')).toMatch(/^"tenant";r=[0-3];t=\d$/);
    const answers = await Promise.all(Array.from({ length: 12 }, () => call('/predict', { key, body: {} })));
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThanOrEqual(6);
    expect(refused[0]?.body).toMatchObject({
      code: 'quota_exceeded',
      details: { quota: 'requestsPerSecond' },
    });
    expect(refused[0]?.headers.get('retry-after')).toBe('1');
    expect((await call('/predict', { body: {} })).status).toBe(200);
    await call('/v1/tenants/slowed', { method: 'PATCH', body: { limits: {} } });
    const freed = await Promise.all(Array.from({ length: 12 }, () => call('/predict', { key, body: {} })));
    expect(freed.map(({ status }) => status)).toEqual(freed.map(() => 200));
    const usage = await call('/v1/tenants/slowed/usage');
    expect(usage.body).toMatchObject({ lastDay: { refused: refused.length } });
  });

  test('bound what is open at once; an answer, or a caller that goes away, makes room', async () => {
    const key = await tenantWith('narrow', { concurrentRequests: 2 });
    const slow = () => call('/v1/models/slow', { key });
    const open = [slow()];
    const gone = httpRequest(`${gateway.origin}/v1/models/slow`, {
      headers: { authorization: `Bearer ${key}` },
    });
    gone.on('error', () => undefined).end();
    await eventually(() => expect(waiting.length).toBe(2));
    const third = await slow();
    expect(third.body).toMatchObject({ code: 'quota_exceeded', details: { quota: 'concurrentRequests' } });
    gone.destroy();
    await eventually(async () =>
      expect((await call('/v1/tenants/narrow/usage')).body).toMatchObject({ concurrentRequests: 1 }),
    );
    open.push(slow());
    await eventually(() => expect(waiting.length).toBe(3));
    for (const response of waiting) response.end('{}');
    expect((await Promise.all(open)).map(({ status }) => status)).toEqual([200, 200]);
  });
});
