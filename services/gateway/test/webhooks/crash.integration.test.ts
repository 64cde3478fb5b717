import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Bus } from '@millrace/bus';
import { connectBus } from '@millrace/bus';
import { createDatabase } from '@millrace/database';
import { generateKeyPair } from '@millrace/integrity';
import { createApiKey, createLogger } from '@millrace/service-kit';
import type { PrivateNats, ServiceProcess, TestDatabase } from '@millrace/testing';
import { createTestDatabase, eventually, startNats, startServiceProcess, testInfra } from '@millrace/testing';
import { NOWHERE } from '../fixtures.ts';
import type { Receiver } from './receiver.ts';
import { publishEvent, startReceiver } from './receiver.ts';

const EVENTS = 30;
const { key } = createApiKey('bootstrap');
let database: TestDatabase;
let nats: PrivateNats;
let bus: Bus;
let receiver: Receiver;
let folder: string;
let gateway: ServiceProcess;
let environment: NodeJS.ProcessEnv;

beforeAll(async () => {
  [database, nats, receiver] = await Promise.all([createTestDatabase(), startNats(), startReceiver()]);
  folder = mkdtempSync(join(tmpdir(), 'millrace-webhook-test-'));
  const pair = generateKeyPair();
  const write = (name: string, text: string) => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  const names = ['DATASETS', 'TRAINING_ORCHESTRATOR', 'CONVERTER', 'REGISTRY', 'INFERENCE', 'MONITORING'];
  environment = {
    ...Object.fromEntries(names.map((name) => [`MILLRACE_UPSTREAM_${name}`, NOWHERE])),
    MILLRACE_DATABASE_URL: database.url,
    MILLRACE_NATS_URL: nats.servicesUrl,
    MILLRACE_NATS_INBOX_PREFIX: testInfra().nats.servicesInboxPrefix,
    MILLRACE_AUTH_KEY_FILE: write('gateway.pem', pair.privateKeyPem),
    MILLRACE_AUTH_PUBLIC_KEY_FILE: write('gateway.pub.pem', pair.publicKeyPem),
    MILLRACE_BOOTSTRAP_TOKEN_FILE: write('token', key),
    MILLRACE_WEBHOOK_NETWORKS: '127.0.0.0/8',
  };
  gateway = await startServiceProcess('gateway', environment);
  const logger = createLogger({ service: 'test', level: 'silent' });
  const { servicesInboxPrefix: inboxPrefix } = testInfra().nats;
  bus = await connectBus({ url: nats.servicesUrl, name: 'test', inboxPrefix, logger });
});
afterAll(async () => {
  await bus.close();
  await gateway.stop();
  await nats.stop();
  await receiver.close();
  await database.drop();
  rmSync(folder, { recursive: true });
});

test('a gateway that is killed between taking, storing and sending loses no event', async () => {
  const made = await fetch(`${gateway.origin}/v1/webhooks`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ url: `${receiver.origin}/events`, types: ['job.*'] }),
  });
  expect(made.status).toBe(201);
  // the first request hangs when the process dies, with its row claimed
  const hanging = Promise.withResolvers<void>();
  receiver.answer('/events', () => hanging.resolve());
  await publishEvent(bus, { name: 'job.done', subject: '0' });
  await hanging.promise;
  const publishing = Array.from({ length: EVENTS - 1 }, (_, index) =>
    publishEvent(bus, { name: 'job.done', subject: String(index + 1) }),
  );
  await publishing[10];
  await gateway.killHard();
  await Promise.all(publishing);
  receiver.accept('/events');
  gateway = await startServiceProcess('gateway', environment);
  const own = createDatabase({ url: database.url, applicationName: 'test' });
  // as a minute would: what the dead process held is free
  await own.pool.query('update gateway.webhooks set held_until = now()');
  await own.close();
  const all = Array.from({ length: EVENTS }, (_, index) => String(index));
  const subjects = () => receiver.at('/events').map(({ event }) => event.subject);
  await eventually(() => expect([...new Set(subjects())].sort()).toEqual([...all].sort()), {
    timeoutMs: 10_000,
  });
  // what the dead process was sending comes again, under its old id; the rest comes once
  expect(subjects().length).toBe(EVENTS + 1);
  const firsts = receiver.at('/events').filter(({ event }) => event.subject === '0');
  expect(new Set(firsts.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
});
