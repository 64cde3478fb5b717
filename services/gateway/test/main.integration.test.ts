import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { generateKeyPair } from '@millrace/integrity';
import { createApiKey } from '@millrace/service-kit';
import type { ServiceProcess, TestDatabase } from '@millrace/testing';
import { createTestDatabase, startServiceProcess, testInfra } from '@millrace/testing';
import { NOWHERE } from './fixtures.ts';

let database: TestDatabase;
let folder: string;
let gateway: ServiceProcess;
const { key } = createApiKey('bootstrap');

beforeAll(async () => {
  database = await createTestDatabase();
  folder = mkdtempSync(join(tmpdir(), 'millrace-gateway-test-'));
  chmodSync(folder, 0o700);
  const pair = generateKeyPair();
  const write = (name: string, text: string) => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  const names = ['DATASETS', 'TRAINING_ORCHESTRATOR', 'CONVERTER', 'REGISTRY', 'INFERENCE', 'MONITORING'];
  gateway = await startServiceProcess('gateway', {
    ...Object.fromEntries(names.map((name) => [`MILLRACE_UPSTREAM_${name}`, NOWHERE])),
    MILLRACE_DATABASE_URL: database.url,
    MILLRACE_NATS_URL: testInfra().nats.servicesUrl,
    MILLRACE_NATS_INBOX_PREFIX: testInfra().nats.servicesInboxPrefix,
    MILLRACE_AUTH_MODE: 'required',
    MILLRACE_AUTH_KEY_FILE: write('gateway.pem', pair.privateKeyPem),
    MILLRACE_AUTH_PUBLIC_KEY_FILE: write('gateway.pub.pem', pair.publicKeyPem),
    MILLRACE_BOOTSTRAP_TOKEN_FILE: write('token', `${key}\n`),
  });
});
afterAll(async () => {
  await gateway.stop();
  await database.drop();
  rmSync(folder, { recursive: true });
});

test('the process makes its schema and first key, serves, and never logs the key', async () => {
  expect((await fetch(`${gateway.origin}/health/ready`)).status).toBe(200);
  expect((await fetch(`${gateway.origin}/v1/keys`)).status).toBe(401);
  const listed = await fetch(`${gateway.origin}/v1/keys`, { headers: { authorization: `Bearer ${key}` } });
  expect(await listed.json()).toMatchObject({ items: [{ id: 'bootstrap', principal: 'admin' }] });
  expect(gateway.log()).not.toContain(key);
  expect(gateway.log()).not.toMatch(/nats:\/\/[^[]*:[^[]*@/);
});
