import type { IncomingHttpHeaders } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Backend, Gateway } from './fixtures.ts';
import { startBackend, startGateway } from './fixtures.ts';

let registry: Backend;
let gateway: Gateway;
let seen: { url: string | undefined; headers: IncomingHttpHeaders } | undefined;

beforeAll(async () => {
  registry = await startBackend((request, response) => {
    seen = { url: request.url, headers: request.headers };
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  });
  gateway = await startGateway({ upstreams: { registry: registry.origin } });
});
afterAll(async () => {
  await gateway.close();
  await registry.close();
});

const basic = (password: string) => `Basic ${Buffer.from(`me:${password}`).toString('base64')}`;
const get = (path: string, authorization: string) =>
  fetch(`${gateway.origin}${path}`, { headers: { authorization } });

test("MLflow's paths go to the registry as they are, with HTTP Basic as its clients send it", async () => {
  const path = '/api/2.0/mlflow-artifacts/artifacts/1/a%20b%252e.txt?x=%2F';
  for (const authorization of [basic(gateway.adminKey), `Bearer ${gateway.adminKey}`]) {
    expect((await get(path, authorization)).status).toBe(200);
    expect(seen).toMatchObject({ url: path, headers: { authorization } });
  }
});

test('a wrong password is refused here, and other paths take no Basic at all', async () => {
  seen = undefined;
  expect((await get('/api/2.0/mlflow/runs/get', basic('wrong'))).status).toBe(401);
  expect((await get('/v1/models', basic(gateway.adminKey))).status).toBe(401);
  expect(seen).toBeUndefined();
});

describe("refusals of the gateway itself have the shape that a path's clients read", () => {
  const ask = async (path: string, headers: Record<string, string> = {}) => {
    const response = await fetch(`${gateway.origin}${path}`, { headers });
    const type = response.headers.get('content-type');
    return { status: response.status, type, body: (await response.json()) as Record<string, unknown> };
  };
  const wrong = `mlr_nobody_${'A'.repeat(43)}`;

  test.each([
    ['no key', {}, 'auth_required'],
    ['an unknown key', { authorization: basic(wrong) }, 'auth_required'],
  ] as const)("MLflow's, for %s", async (_what, headers, code) => {
    for (const path of ['/api/2.0/mlflow/runs/get', '/api/2.0/mlflow-artifacts/artifacts/a']) {
      expect(await ask(path, headers)).toEqual({
        status: 401,
        type: expect.stringMatching(/^application\/json/),
        body: { error_code: 'UNAUTHENTICATED', message: expect.any(String), millrace_code: code },
      });
    }
  });

  test("the protocol's, for no key and for a service that is away", async () => {
    const authorization = `Bearer ${gateway.adminKey}`;
    for (const path of ['/v2', '/v2/models/any', '/v2/health/ready']) {
      for (const [headers, status, code] of [
        [{}, 401, 'auth_required'],
        [{ authorization }, 503, 'dependency_unavailable'],
      ] as const) {
        expect(await ask(path, headers)).toEqual({
          status,
          type: expect.stringMatching(/^application\/json/),
          body: { error: expect.any(String), code },
        });
      }
    }
  });

  test('ours elsewhere', async () => {
    expect(await ask('/v1/models')).toMatchObject({
      status: 401,
      type: expect.stringContaining('application/problem+json'),
      body: { code: 'auth_required', detail: expect.any(String) },
    });
  });
});
