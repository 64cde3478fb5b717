import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { newId } from '@millrace/contracts';
import { generateKeyPair } from '@millrace/integrity';
import { createClient } from '@millrace/sdk';
import type { PrivateNats, ServiceProcess, TestDatabase } from '@millrace/testing';
import { createTestDatabase, eventually, startNats, startServiceProcess } from '@millrace/testing';
import { connect } from '@nats-io/transport-node';
import { millrace } from './fixtures.ts';

const USER = 'anna/1';
let nats: PrivateNats;
let database: TestDatabase;
let folder: string;
let service: ServiceProcess;
const ids = Array.from({ length: 4 }, () => newId());
const run = (...args: string[]) => millrace(['monitor', ...args, '--url', service.origin]);

/** Publishes what inference would, as a message of its own without acknowledgement. */
async function publish(): Promise<void> {
  const { username, password, host } = new URL(nats.servicesUrl);
  const connection = await connect({ servers: host, user: username, pass: decodeURIComponent(password) });
  const modelVersionId = newId();
  const predictions = ids.map((inferenceId, index) => ({
    inferenceId,
    time: new Date(Date.now() - 1_000 * index).toISOString(),
    latencyMs: 10 * (index + 1),
    confidence: 0.9,
    userId: index === 0 ? USER : 'ben',
    inputs: [{ name: 'x', dtype: 'float32', shape: [1, 1], values: [1] }],
    outputs: [{ name: 'y', dtype: 'float32', shape: [1, 2], values: [0.9, 0.1] }],
  }));
  const head = { batchId: newId(), source: newId(), sequence: 0, dropped: 0, framework: 'onnx' };
  const batch = { ...head, modelVersionId, model: 'served', version: 'v1', predictions };
  connection.publish(`millrace.tel.prediction.${modelVersionId}`, JSON.stringify(batch));
  await connection.flush();
  await connection.close();
}

beforeAll(async () => {
  [nats, database] = await Promise.all([startNats(), createTestDatabase()]);
  folder = mkdtempSync(join(tmpdir(), 'millrace-cli-monitor-'));
  writeFileSync(join(folder, 'auth.pem'), generateKeyPair().publicKeyPem);
  service = await startServiceProcess('monitoring', {
    MILLRACE_DATABASE_URL: database.url,
    MILLRACE_NATS_URL: nats.servicesUrl,
    MILLRACE_AUTH_MODE: 'local',
    MILLRACE_AUTH_PUBLIC_KEY_FILE: join(folder, 'auth.pem'),
  });
  await publish();
  await eventually(async () => {
    expect((await run('metrics', 'served', '--json')).json()).toMatchObject({ items: [{ count: 4 }] });
  });
});
afterAll(async () => {
  await service.stop();
  await Promise.all([nats.stop(), database.drop()]);
  rmSync(folder, { recursive: true });
});

test('metrics, quality and events of a model are shown to people and programs', async () => {
  const client = createClient({ url: service.origin });
  const said = await client.monitoring.feedback(
    ids.map((inferenceId, index) => ({ inferenceId, outcome: { class: index === 3 ? 1 : 0 } })),
  );
  expect(said.map(({ state, isMatched }) => [state, isMatched])).toEqual(
    new Array(4).fill(['recorded', true]),
  );

  const metrics = await run('metrics', 'served', '--by', 'version');
  expect(metrics.out).toMatch(/VERSION +STAGE +FROM +COUNT +MEAN MS +P50 +P95 +P99/);
  expect(metrics.out).toMatch(/v1 +- +- +4 +25 /);
  const steps = await run(
    'metrics',
    'served@v1',
    '--step',
    'day',
    '--since',
    '2026-01-01T00:00:00Z',
    '--json',
  );
  expect(steps.json()).toMatchObject({ items: [{ version: 'v1', count: 4 }] });
  const quality = await run('quality', 'served');
  expect(quality.out).toMatch(/accuracy +0\.75/);
  expect(quality.out).toMatch(/estimated accuracy +- \(too few known truths\)/);
  const events = await run('events', 'served', '--limit', '2');
  expect(events.out.split('\n').filter((line) => line.includes('served@v1'))).toHaveLength(2);
  expect((await run('events', '--user', USER)).out).toContain(ids[0]);
});

test("a user's data is given out, and removed only with --yes", async () => {
  const exported = await run('export', USER);
  expect(
    exported.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toMatchObject([{ id: ids[0], userId: USER, feedback: [{ outcome: { class: 0 } }] }]);
  expect(await run('erase', USER)).toMatchObject({ code: 64, err: expect.stringContaining('--yes') });
  expect((await run('erase', USER, '--yes')).out).toContain('1 predictions and 1 feedback erased');
  expect(await run('export', USER)).toMatchObject({ code: 0, out: '' });
  expect((await run('erasures')).out).toMatch(/local +1 +1 +[0-9a-f]{64}/);
});

test.each([
  [['metrics'], 'The model is missing'],
  [['metrics', 'm', '--by', 'user'], '--by takes version, stage'],
  [['metrics', 'm', '--since', 'yesterday'], '--since takes a time'],
  [['events', '--limit', '501'], 'at most 500'],
  [['look'], 'is not metrics'],
])('%j is refused with what to write', async (args, told) => {
  expect(await run(...(args as string[]))).toMatchObject({ code: 64, err: expect.stringContaining(told) });
});
