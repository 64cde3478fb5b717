import type { IncomingHttpHeaders } from 'node:http';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
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
