import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { ServiceProcess } from '@millrace/testing';
import { eventually, runClient } from '@millrace/testing';
import type { RegistryStack } from '../support/registry-stack.ts';
import { GATEWAY_TOKEN, startRegistryStack } from '../support/registry-stack.ts';

const CLIENT_TIMEOUT_MS = 240_000;
const BIG_BYTES = 16 * 2 ** 20;
const program = (name: string) => fileURLToPath(new URL(`./clients/${name}`, import.meta.url));
const golden: unknown = JSON.parse(
  readFileSync(new URL('../fixtures/mlflow-searches.json', import.meta.url), 'utf8'),
);
let stack: RegistryStack;
let gateway: ServiceProcess;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-mlflow-'));
  stack = await startRegistryStack({ withInference: false, env: { MILLRACE_AUTH_MODE: 'required' } });
  gateway = await stack.startReplica('gateway');
  // the registry takes keys once the gateway has sent them
  await eventually(async () => expect((await search(`Bearer ${GATEWAY_TOKEN}`)).status).toBe(200));
}, 90_000);
afterAll(async () => {
  await stack?.stop();
  await rm(folder, { recursive: true, force: true });
});

const search = (authorization: string | undefined) =>
  fetch(`${gateway.origin}/api/2.0/mlflow/experiments/search`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(authorization === undefined ? {} : { authorization }),
    },
    body: '{"max_results":1}',
  });
const basic = (password: string) => `Basic ${Buffer.from(`anybody:${password}`).toString('base64')}`;

test(
  "MLflow's client works through the gateway with a key as its token",
  async () => {
    const args = [gateway.origin, folder, String(BIG_BYTES)];
    const env = { MLFLOW_TRACKING_TOKEN: GATEWAY_TOKEN };
    expect(await runClient('clients-mlflow3', program('mlflow_client.py'), args, { env })).toMatchObject({
      runs: { status: 'FINISHED', loss: 0.2, children: ['child'] },
      batches: { over: 1_001, many: true },
      artifacts: { big: true, text: '# other text' },
      autolog: { same: true, pyfunc: true },
      models: { status: 'READY', metric: [['score', 0.75]] },
    });
  },
  CLIENT_TIMEOUT_MS,
);

test(
  "MLflow's client works through the gateway with a key as its password",
  async () => {
    const env = { MLFLOW_TRACKING_USERNAME: 'anybody', MLFLOW_TRACKING_PASSWORD: GATEWAY_TOKEN };
    expect(
      await runClient('clients-mlflow3', program('mlflow_search.py'), [gateway.origin], { env }),
    ).toEqual(golden);
  },
  CLIENT_TIMEOUT_MS,
);

test.each([
  ['no key', undefined],
  ['another token', `Bearer ${GATEWAY_TOKEN.replace('A', 'B')}`],
  ['another password', basic('guess')],
  ['what is no header', 'Basic %%%'],
])('with %s nobody gets in', async (_what, authorization) => {
  const answer = await search(authorization);
  expect([answer.status, await answer.json()]).toEqual([
    401,
    expect.objectContaining({
      error_code: 'UNAUTHENTICATED',
      millrace_code: 'auth_required',
      message: expect.stringMatching(/Authorization: Bearer/),
    }),
  ]);
});

test('a key that may only read is told so', async () => {
  const made = await fetch(`${gateway.origin}/v1/keys`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${GATEWAY_TOKEN}` },
    body: JSON.stringify({ principal: 'reader', scopes: ['models:read'] }),
  });
  const { key } = (await made.json()) as { key: string };
  await eventually(async () => expect((await search(basic(key))).status).toBe(200));
  const create = await fetch(`${gateway.origin}/api/2.0/mlflow/experiments/create`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: basic(key) },
    body: '{"name":"mine"}',
  });
  expect([create.status, await create.json()]).toEqual([
    403,
    expect.objectContaining({ error_code: 'PERMISSION_DENIED', millrace_code: 'scope_missing' }),
  ]);
});
