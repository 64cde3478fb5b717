import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Bus } from '@millrace/bus';
import { connectBus, ensureStreams, streamCatalog } from '@millrace/bus';
import type { PredictionBatch } from '@millrace/contracts';
import { ModelVersionStageChanged, newId } from '@millrace/contracts';
import { generateKeyPair } from '@millrace/integrity';
import { createApiKey, createLogger, KEY_SET_SUBJECT, signKeySet } from '@millrace/service-kit';
import type { PrivateNats, PrivatePostgres, ServiceProcess } from '@millrace/testing';
import { eventually, startNats, startPostgres, startServiceProcess } from '@millrace/testing';
import pg from 'pg';
import { batch, prediction } from './support/batches.ts';

const SHA = 'a'.repeat(64);
const gatewayKeys = generateKeyPair();
let nats: PrivateNats;
let postgres: PrivatePostgres;
let bus: Bus;
let service: ServiceProcess;
let folder: string;

function start(): Promise<ServiceProcess> {
  return startServiceProcess('monitoring', {
    MILLRACE_DATABASE_URL: postgres.url,
    MILLRACE_NATS_URL: nats.servicesUrl,
    MILLRACE_AUTH_MODE: 'local',
    MILLRACE_AUTH_PUBLIC_KEY_FILE: join(folder, 'auth.pem'),
    MILLRACE_UNMATCHED_FEEDBACK_HOURS: '0',
  });
}

beforeAll(async () => {
  [nats, postgres] = await Promise.all([startNats(), startPostgres()]);
  folder = mkdtempSync(join(tmpdir(), 'monitoring-test-'));
  writeFileSync(join(folder, 'auth.pem'), gatewayKeys.publicKeyPem);
  const logger = createLogger({ service: 'test', level: 'error' });
  bus = await connectBus({ url: nats.servicesUrl, name: 'test', inboxPrefix: '_INBOX_services', logger });
  await ensureStreams(bus);
  service = await start();
});

afterAll(async () => {
  await service.stop();
  await bus.close();
  await Promise.all([nats.stop(), postgres.stop()]);
  rmSync(folder, { recursive: true });
});

const publish = (data: PredictionBatch, msgID?: string) =>
  bus.js.publish(
    `millrace.tel.prediction.${data.modelVersionId}`,
    JSON.stringify(data),
    msgID === undefined ? {} : { msgID },
  );

async function get<T>(path: string): Promise<T> {
  const response = await fetch(`${service.origin}${path}`);
  expect(response.status).toBe(200);
  return (await response.json()) as T;
}

type Events = { events: Record<string, unknown>[]; count: number };
const eventsOf = (model: string, query = '') => get<Events>(`/monitoring/events?modelId=${model}${query}`);
const metricsOf = (model: string, query = '') =>
  get<Record<string, unknown>>(`/monitoring/metrics?modelId=${model}${query}`);

async function feedback(body: unknown): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(`${service.origin}/feedback`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

const untilCount = (model: string, count: number, timeoutMs = 20_000) =>
  eventually(async () => expect((await metricsOf(model)).count).toBe(count), { timeoutMs });

describe('predictions from the bus', () => {
  test('come out in the shapes of the API, newest first', async () => {
    const older = prediction({ time: new Date(Date.now() - 5_000).toISOString(), confidence: null });
    const large = { name: 'input', dtype: 'float32', shape: [1, 224, 224, 3], sha256: SHA };
    const newer = prediction({ userId: 'user\t1\\N', inputs: [large] });
    await publish(batch('shapes', [older, newer]));
    await untilCount('shapes', 2);
    const { events, count } = await eventsOf('shapes');
    expect(count).toBe(2);
    expect(events[0]).toEqual({
      id: newer.inferenceId,
      timestamp: Date.parse(newer.time),
      modelId: 'shapes',
      modelVersion: 'v1',
      framework: 'onnx',
      featuresIn: JSON.stringify({ input: { dtype: 'float32', shape: [1, 224, 224, 3], sha256: SHA } }),
      prediction: '{"output":[0.8,0.2]}',
      confidence: 0.8,
      latencyMs: 10,
      correct: null,
    });
    expect(events[1]).toMatchObject({
      id: older.inferenceId,
      confidence: null,
      featuresIn: '{"input":[0.5,1]}',
    });
    const ofUser = await get<Events>(`/monitoring/events?userId=${encodeURIComponent('user\t1\\N')}`);
    expect(ofUser.events.map(({ id }) => id)).toEqual([newer.inferenceId]);
    const between = `&startTime=${Date.parse(older.time)}&endTime=${Date.parse(older.time)}`;
    expect((await eventsOf('shapes', between)).events.map(({ id }) => id)).toEqual([older.inferenceId]);
    expect((await eventsOf('shapes', '&limit=1')).events).toHaveLength(1);
    expect(await get(`/v1/monitoring/events/${newer.inferenceId}`)).toEqual(events[0]);
    expect((await fetch(`${service.origin}/v1/monitoring/events/${newId()}`)).status).toBe(404);
  });

  test('are stored once however often a batch is delivered', async () => {
    const data = batch('once', [prediction(), prediction()]);
    // different message ids, so that JetStream keeps all three
    for (const id of ['a', 'b', 'c']) await publish(data, `${data.batchId}-${id}`);
    const last = batch('once', [prediction()]);
    await publish(last);
    await untilCount('once', 3);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect((await metricsOf('once')).count).toBe(3);
  });

  test('count what the sender dropped and which batches are missing', async () => {
    const source = newId();
    const modelVersionId = newId();
    await publish(batch('counted', [prediction()], { source, modelVersionId, sequence: 0 }));
    await publish(batch('counted', [], { source, modelVersionId, sequence: 2, dropped: 7 }));
    type Ingest = { items: { modelVersionId: string }[] };
    await eventually(async () => {
      const { items } = await get<Ingest>('/v1/monitoring/ingest');
      expect(items.find((item) => item.modelVersionId === modelVersionId)).toMatchObject({
        model: 'counted',
        stored: 1,
        dropped: 7,
        missingBatches: 1,
      });
    });
    await publish(batch('counted', [prediction()], { source, modelVersionId, sequence: 1 }));
    await eventually(async () => {
      const { items } = await get<Ingest>('/v1/monitoring/ingest');
      expect(items.find((item) => item.modelVersionId === modelVersionId)).toMatchObject({
        stored: 2,
        missingBatches: 0,
      });
    });
  });

  test('a batch that is no batch goes to the dead letters and holds up nothing', async () => {
    await bus.js.publish(`millrace.tel.prediction.${newId()}`, '{"predictions":"none"}');
    await publish(batch('after-poison', [prediction()]));
    await untilCount('after-poison', 1);
    await eventually(async () => {
      const { state } = await bus.jsm.streams.info(streamCatalog.deadLetters.name);
      expect(state.messages).toBe(1);
    });
  });

  test('are counted under the stage that the registry told', async () => {
    const modelVersionId = newId();
    const { subject } = ModelVersionStageChanged;
    const about = { modelVersionId, modelId: newId(), model: 'staged', version: 'v1', ordinal: 1 };
    const fact = { ...about, from: 'development', to: 'production', by: 'ann' };
    await bus.js.publish(subject, JSON.stringify(fact), { msgID: newId() });
    await eventually(async () => {
      await publish(batch('staged', [prediction()], { modelVersionId }));
      type Stages = { items: { stage: string }[] };
      const { items } = await get<Stages>('/v1/monitoring/metrics?modelId=staged&groupBy=stage');
      expect(items.map(({ stage }) => stage)).toContain('production');
    });
  });

  test('a day without a partition gets one', async () => {
    const longAgo = prediction({ time: new Date(Date.now() - 10 * 86_400_000).toISOString() });
    await publish(batch('late', [longAgo]));
    await untilCount('late', 1);
  });
});

describe('another tenant', () => {
  test('sees none of it, and its feedback says nothing of it', async () => {
    const { id, key, sha256 } = createApiKey();
    const record = { id, sha256, principal: 'eve', tenant: 'acme', scopes: ['admin'] };
    const keys = [{ ...record, expiresAt: null, revokedAt: null }];
    const signed = signKeySet({ issuedAt: new Date().toISOString(), keys }, gatewayKeys.privateKeyPem);
    const answering = bus.nc.subscribe(KEY_SET_SUBJECT, {
      callback: (_error, message) => void message.respond(JSON.stringify(signed)),
    });
    await bus.nc.flush();
    const asEve = async (path: string, body?: unknown) => {
      const response = await fetch(`${service.origin}${path}`, {
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) }),
      });
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    };

    const ours = prediction();
    const theirs = prediction();
    await publish(batch('twins', [ours]));
    await publish(batch('twins', [theirs], { tenant: 'acme' }));
    await untilCount('twins', 1);
    await eventually(async () =>
      expect((await asEve('/monitoring/metrics?modelId=twins')).body).toMatchObject({ count: 1 }),
    );
    expect((await asEve('/monitoring/events')).body).toMatchObject({
      count: 1,
      events: [{ id: theirs.inferenceId }],
    });
    expect((await asEve(`/v1/monitoring/events/${ours.inferenceId}`)).status).toBe(404);
    expect((await asEve('/v1/monitoring/ingest')).body).toMatchObject({
      items: [{ model: 'twins', stored: 1 }],
    });
    // two tenants may say different things about the same id, and neither hears of the other
    await feedback({ inferenceId: ours.inferenceId, outcome: {}, correct: true });
    await asEve('/feedback', { inferenceId: ours.inferenceId, outcome: {}, correct: false });
    expect((await eventsOf('twins')).events).toMatchObject([{ id: ours.inferenceId, correct: true }]);
    expect((await asEve('/v1/monitoring/unmatched-feedback')).body.items).toMatchObject([
      { inferenceId: ours.inferenceId, correct: false },
    ]);
    const { items } = await get<{ items: { inferenceId: string }[] }>('/v1/monitoring/unmatched-feedback');
    expect(items.some((one) => one.inferenceId === ours.inferenceId)).toBe(false);
    answering.unsubscribe();
  });
});

describe('feedback', () => {
  test('before its prediction is kept and joined', async () => {
    const early = prediction();
    const answer = await feedback({ inferenceId: early.inferenceId, outcome: { class: 1 }, correct: true });
    expect(answer).toEqual({ status: 200, body: { success: true, inferenceId: early.inferenceId } });
    const unmatched = () => get<{ items: { inferenceId: string }[] }>('/v1/monitoring/unmatched-feedback');
    expect((await unmatched()).items.map(({ inferenceId }) => inferenceId)).toContain(early.inferenceId);
    await publish(batch('early-feedback', [early]));
    await untilCount('early-feedback', 1);
    expect((await eventsOf('early-feedback')).events[0]).toMatchObject({ correct: true });
    expect((await unmatched()).items.map(({ inferenceId }) => inferenceId)).not.toContain(early.inferenceId);
  });

  test('sent again corrects the earlier one, and decides the accuracy', async () => {
    const [right, wrong, unknown] = [
      prediction(),
      prediction(),
      prediction({ latencyMs: 40, confidence: 0.5 }),
    ];
    await publish(batch('accuracy', [right, wrong, unknown]));
    await untilCount('accuracy', 3);
    expect(await metricsOf('accuracy')).toMatchObject({
      modelId: 'accuracy',
      count: 3,
      avgLatency: 20,
      accuracy: null,
    });
    await feedback({ inferenceId: right.inferenceId, outcome: { class: 1 }, correct: false });
    await feedback({ inferenceId: right.inferenceId, outcome: { class: 1 }, correct: true });
    await feedback({ inferenceId: wrong.inferenceId, outcome: 'other', correct: false });
    await feedback({ inferenceId: unknown.inferenceId, outcome: null });
    const metrics = await metricsOf('accuracy');
    expect(metrics.accuracy).toBe(0.5);
    expect(metrics.avgConfidence).toBeCloseTo(0.7);
    const client = new pg.Client({ connectionString: postgres.url });
    await client.connect();
    const { rows } = await client.query(
      'select correct from monitoring.feedback_history where inference_id = $1 order by id',
      [right.inferenceId],
    );
    await client.end();
    expect(rows).toEqual([{ correct: false }, { correct: true }]);
  });

  test.each([
    ['no id', { outcome: 1 }, 'invalid_request'],
    ['an id that is none', { inferenceId: 'x', outcome: 1 }, 'invalid_request'],
    ['a text for correct', { inferenceId: newId(), outcome: 1, correct: 'yes' }, 'invalid_request'],
    ['no outcome', { inferenceId: newId() }, 'invalid_request'],
    ['an unknown field', { inferenceId: newId(), outcome: 1, extra: 1 }, 'unknown_field'],
  ])('refuses %s', async (_case, body, code) => {
    expect(await feedback(body)).toMatchObject({ status: 400, body: { code } });
  });
});

describe('queries', () => {
  test('an unknown model has count 0 and nulls', async () => {
    expect(await metricsOf('nobody')).toEqual({
      modelId: 'nobody',
      count: 0,
      avgLatency: null,
      avgConfidence: null,
      accuracy: null,
    });
    expect(await eventsOf('nobody')).toEqual({ events: [], count: 0 });
  });

  test.each([
    '/monitoring/events?limit=0',
    '/monitoring/events?limit=1001',
    '/monitoring/events?limit=ten',
    '/monitoring/events?startTime=-1',
    '/monitoring/events?startTime=2&endTime=1',
    '/monitoring/events?other=1',
    '/monitoring/metrics',
    "/monitoring/metrics?modelId=a&startTime=1';drop",
  ])('refuses %s', async (path) => {
    expect((await fetch(`${service.origin}${path}`)).status).toBe(400);
  });

  test('look only into the partitions of their time', async () => {
    const client = new pg.Client({ connectionString: postgres.url });
    await client.connect();
    const { rows } = await client.query<{ 'QUERY PLAN': string }>(
      'explain select * from monitoring.predictions where model = $1 and at >= $2 and at < $3',
      ['late', new Date(Date.now() - 60_000), new Date()],
    );
    await client.end();
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
    expect(new Set(plan.match(/predictions_p\d{8}(?!_)/g)).size).toBeLessThanOrEqual(2);
  });
});

describe('faults', () => {
  test('nothing is lost while monitoring is down', async () => {
    await service.stop();
    for (let i = 0; i < 20; i += 1) await publish(batch('down', [prediction(), prediction()]));
    service = await start();
    await untilCount('down', 40);
  });

  test('nothing is lost or doubled when Postgres crashes while batches come in', async () => {
    const sending = (async () => {
      for (let i = 0; i < 60; i += 1) {
        await publish(batch('crash', [prediction(), prediction(), prediction()]));
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    })();
    await new Promise((resolve) => setTimeout(resolve, 300));
    await postgres.killHard();
    expect((await fetch(`${service.origin}/monitoring/metrics?modelId=crash`)).status).toBe(503);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await postgres.start();
    await sending;
    await untilCount('crash', 180, 50_000);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect((await metricsOf('crash')).count).toBe(180);
  });
});
