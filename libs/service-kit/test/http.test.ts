import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { AppError } from '@millrace/contracts';
import Type from 'typebox';
import type { HttpApp } from '../src/index.ts';
import {
  createApiKey,
  createAuth,
  createHttp,
  createKeySetHolder,
  createLogger,
  createMetrics,
  listenHttp,
} from '../src/index.ts';

const logger = createLogger({ service: 'test', level: 'silent' });
const made = createApiKey();
let isDatabaseAway = false;

async function build(mode: 'local' | 'required' = 'required'): Promise<HttpApp> {
  const keySet = createKeySetHolder();
  const record = {
    id: made.id,
    sha256: made.sha256,
    principal: 'ann',
    tenant: 'default',
    expiresAt: null,
    revokedAt: null,
  };
  keySet.replace({
    issuedAt: new Date().toISOString(),
    keys: [{ ...record, scopes: ['predict', 'operate'] }],
  });
  const app = await createHttp({
    service: 'test-service',
    version: '1.2.3',
    logger,
    metrics: createMetrics({ service: 'test-service', withDefaults: false }),
    auth: createAuth({ mode, keySet, logger }),
    bodyLimitBytes: 1024,
    readiness: {
      database: async () => {
        if (isDatabaseAway) throw new Error('connect postgres://u:p@h');
      },
    },
    openapi: { title: 'Test' },
  });
  const Body = Type.Object(
    { name: Type.String({ maxLength: 5 }), count: Type.Optional(Type.Integer()) },
    { additionalProperties: false },
  );
  app.post(
    '/things/:id',
    {
      config: { scope: 'predict' },
      schema: {
        operationId: 'makeThing',
        params: Type.Object({ id: Type.Integer() }),
        querystring: Type.Object({ limit: Type.Integer({ default: 7 }) }),
        body: Body,
      },
    },
    async (request) => ({ id: request.params.id, limit: request.query.limit, who: request.principal.id }),
  );
  app.get('/train', { config: { scope: 'train' } }, async () => 'ok');
  app.get('/busy', { config: { public: true } }, async () => {
    throw new AppError('queue_full', 'Full.', { details: { retryAfterSeconds: 2.2 } });
  });
  app.get('/boom', { config: { public: true } }, async () => {
    throw new Error('secret text of a driver');
  });
  app.get('/slow', { config: { public: true } }, async () => {
    slowBegun.resolve();
    await new Promise((resolve) => setTimeout(resolve, 300));
    return 'done';
  });
  return app;
}

const authorization = `Bearer ${made.key}`;
const slowBegun = Promise.withResolvers<void>();
let app: HttpApp;
beforeAll(async () => {
  app = await build();
});
afterAll(async () => await app.close());

async function post(payload: string, more: { url?: string; headers?: Record<string, string> } = {}) {
  return await app.inject({
    method: 'POST',
    url: more.url ?? '/things/4',
    headers: { authorization, 'content-type': 'application/json', ...more.headers },
    payload,
  });
}

describe('bad input', () => {
  test.each([
    ['{"name":', 400, 'invalid_json', ''],
    ['', 400, 'invalid_json', ''],
    ['{"name":"a","__proto__":{"x":1}}', 400, 'invalid_json', ''],
    ['{"name":1}', 400, 'invalid_request', 'body.name must be string'],
    ['{"name":"a","count":"1"}', 400, 'invalid_request', 'body.count must be integer'],
    ['{}', 400, 'invalid_request', "required property 'name'"],
    ['{"name":"a","nmae":1}', 400, 'unknown_field', "'nmae'"],
    [JSON.stringify({ name: 'x'.repeat(2000) }), 413, 'payload_too_large', '1024 bytes'],
  ])('%s', async (payload, status, code, detail) => {
    const response = await post(payload.slice(0, 3000));
    expect(response.statusCode).toBe(status);
    expect(response.headers['content-type']).toMatch(/^application\/problem\+json/);
    const problem = response.json() as Record<string, string>;
    expect(problem).toMatchObject({
      status,
      code,
      type: `urn:millrace:error:${code}`,
      error: problem.detail,
    });
    expect(problem.detail).toContain(detail);
    expect(problem.instance).toBe(response.headers['x-request-id']);
  });

  test('query and path are coerced, a body is not', async () => {
    expect((await post('{"name":"a"}', { url: '/things/4?limit=9' })).json()).toEqual({
      id: 4,
      limit: 9,
      who: 'ann',
    });
    expect((await post('{"name":"a"}', { url: '/things/x' })).json()).toMatchObject({
      code: 'invalid_request',
    });
  });

  test('media type, unknown route and malformed path', async () => {
    expect((await post('a', { headers: { 'content-type': 'text/csv' } })).json()).toMatchObject({
      code: 'unsupported_media_type',
    });
    expect((await app.inject('/nowhere?x=1')).json()).toMatchObject({ code: 'route_not_found', status: 404 });
    expect((await app.inject('/things/%zz')).json()).toMatchObject({ code: 'invalid_request', status: 400 });
  });
});

describe('errors', () => {
  test('an unknown error gives no message of its own', async () => {
    const response = await app.inject('/boom');
    expect(response.statusCode).toBe(500);
    expect(response.body).not.toContain('secret text');
    expect(response.json()).toMatchObject({ code: 'internal' });
  });

  test('Retry-After comes with 503', async () => {
    expect((await app.inject('/busy')).headers['retry-after']).toBe('3');
  });

  test('a valid X-Request-Id is kept, another is replaced', async () => {
    const kept = await app.inject({ url: '/busy', headers: { 'x-request-id': 'abc-12345678' } });
    expect(kept.headers['x-request-id']).toBe('abc-12345678');
    const replaced = await app.inject({ url: '/busy', headers: { 'x-request-id': 'a b\u00e9' } });
    expect(replaced.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe('auth', () => {
  test('no key 401, key without the scope 403, key in the URL 400', async () => {
    const none = await app.inject({ method: 'POST', url: '/things/1', payload: {} });
    expect(none.statusCode).toBe(401);
    expect(none.headers['www-authenticate']).toBe('Bearer');
    expect((await app.inject({ url: '/train', headers: { authorization } })).json()).toMatchObject({
      code: 'scope_missing',
    });
    expect((await app.inject(`/busy?key=${made.key}`)).json()).toMatchObject({ code: 'invalid_request' });
  });

  test('a route without scope cannot be added', async () => {
    const other = await build();
    expect(() => other.get('/open', async () => 'x')).toThrow(/config\.scope/);
    expect(() => other.get('/odd', { config: { scope: 'fly' as never } }, async () => 'x')).toThrow(
      /config\.scope/,
    );
    expect(() => other.get('/both', { config: { scope: 'train', public: true } }, async () => 'x')).toThrow(
      /not both/,
    );
    await other.close();
  });

  test('mode local lets this machine in over a real socket, and only under a loopback name', async () => {
    const other = await build('local');
    const { origin, port } = await listenHttp(other, {
      host: '127.0.0.1',
      port: 0,
      authMode: 'local',
      logger,
    });
    expect((await fetch(`${origin}/train`)).status).toBe(200);
    expect(await statusWithHost(port, 'rebound.example')).toBe(421);
    await other.close();
  });
});

describe('operations', () => {
  test('readiness names what fails and hides why', async () => {
    expect((await app.inject('/health/ready')).json()).toMatchObject({
      status: 'ok',
      service: 'test-service',
      version: '1.2.3',
      checks: { database: { ok: true } },
    });
    isDatabaseAway = true;
    const response = await app.inject('/health/ready');
    isDatabaseAway = false;
    expect(response.statusCode).toBe(503);
    expect(response.json()).toMatchObject({
      code: 'dependency_unavailable',
      details: { failing: ['database'] },
    });
    expect(response.body).not.toContain('postgres://');
    expect((await app.inject('/health/live')).json()).toEqual({ status: 'ok' });
  });

  test('metrics need a key and count requests by route', async () => {
    expect((await app.inject('/metrics')).statusCode).toBe(401);
    await post('{"name":"a"}');
    const { body } = await app.inject({ url: '/metrics', headers: { authorization } });
    expect(body).toMatch(
      /millrace_test_service_http_request_seconds_count\{service="test-service",method="POST",route="\/things\/:id",status="200"/,
    );
  });

  test('OpenAPI 3.1 has the route, its scope and the problem shape', async () => {
    const document = (await app.inject('/openapi.json')).json() as {
      openapi: string;
      paths: Record<
        string,
        { post: { operationId: string; security: unknown; responses: Record<string, unknown> } }
      >;
    };
    expect(document.openapi).toBe('3.1.0');
    const { post: operation } = document.paths['/things/{id}'] ?? {};
    expect(operation).toMatchObject({ operationId: 'makeThing', security: [{ apiKey: ['predict'] }] });
    expect(operation?.responses).toHaveProperty('default');
  });
});

test('closing lets a request in hand end', async () => {
  const other = await build('local');
  const { origin } = await listenHttp(other, { host: '127.0.0.1', port: 0, authMode: 'local', logger });
  const slow = fetch(`${origin}/slow`);
  await slowBegun.promise;
  const closing = other.close();
  expect(await (await slow).text()).toBe('done');
  await closing;
  await expect(fetch(`${origin}/slow`)).rejects.toThrow();
});

async function statusWithHost(port: number, host: string): Promise<number | undefined> {
  return await new Promise((resolve, reject) => {
    httpRequest({ port, host: '127.0.0.1', path: '/train', headers: { host } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on('error', reject)
      .end();
  });
}
