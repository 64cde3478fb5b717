import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createOutbox } from '@millrace/bus';
import type { Prediction } from '@millrace/contracts';
import { newId } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { createDatabase, migrate } from '@millrace/database';
import type { Random } from '@millrace/drift';
import { buildReference, createRandom, encodeReference } from '@millrace/drift';
import { sha256Hex } from '@millrace/integrity';
import type { HttpApp } from '@millrace/service-kit';
import {
  createAuth,
  createHttp,
  createKeySetHolder,
  createLogger,
  createMetrics,
} from '@millrace/service-kit';
import type { TestDatabase } from '@millrace/testing';
import { createTestDatabase } from '@millrace/testing';
import { createDriftRepository } from '../../src/drift/drift.repository.ts';
import { driftRoutes } from '../../src/drift/drift.routes.ts';
import type { DriftService } from '../../src/drift/drift.service.ts';
import { createDriftService } from '../../src/drift/drift.service.ts';
import { judgeNext } from '../../src/drift/drift-watch.ts';
import { createPartitions, dayOf } from '../../src/predictions/partitions.ts';
import { storeBatch } from '../../src/predictions/prediction.repository.ts';
import { busTables } from '../../src/schema.ts';

const MINUTE_MS = 60_000;
const now = Date.now();
let testDatabase: TestDatabase;
let database: Database;
let drift: DriftService;
let app: HttpApp;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  const folder = fileURLToPath(new URL('../../migrations', import.meta.url));
  await migrate({ url: testDatabase.url, schema: 'monitoring', folder });
  database = createDatabase({ url: testDatabase.url, applicationName: 'drift-test' });
  await createPartitions(database).ensure([dayOf(new Date(now - 60 * MINUTE_MS)), dayOf(new Date(now))]);
  drift = createDriftService(createDriftRepository(database));
  const logger = createLogger({ service: 'drift-test', level: 'fatal' });
  app = await createHttp({
    service: 'monitoring',
    logger,
    metrics: createMetrics({ service: 'monitoring' }),
    auth: createAuth({ mode: 'local', keySet: createKeySetHolder(), logger }),
    readiness: {},
    openapi: { title: 'Drift', description: 'Drift.' },
  });
  await app.register(driftRoutes(drift));
});

afterAll(async () => {
  await app.close();
  await database.close();
  await testDatabase.drop();
});

/** One row: two numbers around `shift` and 0, and a colour; the output is the first number's sign. */
function rowOf(random: Random, shift: number): [x: number, y: number, colour: string] {
  return [random.normal() + shift, random.normal(), random.uniform() < 0.3 ? 'red' : 'blue'];
}

function prediction([x, y, colour]: [number, number, string], time: number): Prediction {
  return {
    inferenceId: newId(),
    time: new Date(time).toISOString(),
    latencyMs: 1,
    confidence: null,
    inputs: [
      { name: 'x', dtype: 'float32', shape: [1, 2], values: [Math.fround(x), y] },
      { name: 'colour', dtype: 'string', shape: [1, 1], values: [colour] },
    ],
    outputs: [{ name: 'label', dtype: 'int64', shape: [1], values: [x > 0 ? 1 : 0] }],
  };
}

/** Stores predictions of a version, one a millisecond up to `until`. */
async function store(
  version: { model: string; modelVersionId: string; tenant?: string },
  rows: [number, number, string][],
  until = now,
): Promise<void> {
  await storeBatch(database, {
    batchId: newId(),
    source: newId(),
    sequence: 0,
    version: 'v1',
    framework: 'onnx',
    dropped: 0,
    ...version,
    predictions: rows.map((row, i) => prediction(row, until - i)),
  });
}

const rowsOf = (random: Random, count: number, shift = 0) =>
  Array.from({ length: count }, () => rowOf(random, shift));

async function call(method: 'GET' | 'POST', url: string, payload?: object) {
  const headers = { host: '127.0.0.1' };
  const response = await app.inject(
    payload === undefined ? { method, url, headers } : { method, url, headers, payload },
  );
  return { status: response.statusCode, body: response.json() };
}

const reportOf = (model: string, query = '') =>
  call('GET', `/v1/monitoring/drift?modelId=${model}&version=v1${query}`);
const createReference = (body: object) => call('POST', '/v1/monitoring/drift/references', body);

/** Columns of training rows, as reports name the features. */
function columnsOf(rows: [number, number, string][]) {
  return {
    'inputs.x[0]': rows.map(([x]) => x),
    'inputs.x[1]': rows.map(([, y]) => y),
    'inputs.colour': rows.map(([, , colour]) => colour),
  };
}

test('a reference of training data, then predictions: what moved is named, what did not is stable', async () => {
  const random = createRandom(11);
  const [model, modelVersionId] = ['trained', newId()];
  expect((await reportOf(model)).body).toMatchObject({ status: 'no-reference', modelVersionId: null });
  const columns = columnsOf(rowsOf(random, 1_000));
  const body = { modelId: model, version: 'v1', modelVersionId, columns };
  const made = await createReference(body);
  expect(made).toMatchObject({
    status: 201,
    body: { modelId: model, modelVersionId, rows: 1_000, features: 3, source: { kind: 'columns' } },
  });
  const reference = buildReference(
    Object.entries(columns).map(([name, values]) => ({ name, values, precision: 'single' as const })),
  );
  expect(made.body.digest).toBe(sha256Hex(encodeReference(reference)));
  expect((await createReference(body)).body.id).toBe(made.body.id);
  expect((await reportOf(model)).body).toMatchObject({ status: 'too-few-rows', predictions: 0 });

  await store({ model, modelVersionId }, rowsOf(random, 400), now - 30 * MINUTE_MS);
  const quiet = await reportOf(model);
  expect(quiet.body).toMatchObject({ status: 'stable', predictions: 400, unread: 0, isTruncated: false });

  await store({ model, modelVersionId }, rowsOf(random, 400, 0.8));
  const { body: moved } = await reportOf(model, `&startTime=${now - MINUTE_MS}`);
  expect(moved).toMatchObject({ status: 'drifted', predictions: 400, reference: { id: made.body.id } });
  const [first, second, colour] = moved.features;
  expect([first.status, second.status, colour.status]).toEqual(['drifted', 'stable', 'stable']);
  expect(first).toMatchObject({
    name: 'inputs.x[0]',
    kind: 'number',
    checks: [{ check: 'distribution', statistic: 'psi', isDrifted: true }, {}, {}],
  });
  expect(first.window.counts.reduce((a: number, b: number) => a + b)).toBe(400);
  expect(colour).toMatchObject({ categories: ['blue', 'red'], window: { nulls: 0, mismatched: 0 } });
});

test('predictions of a window are a reference too, outputs included', async () => {
  const random = createRandom(13);
  const version = { model: 'produced', modelVersionId: newId() };
  await store(version, rowsOf(random, 1_000), now - 30 * MINUTE_MS);
  await store(version, rowsOf(random, 300, 0.7));
  const window = { startTime: now - 60 * MINUTE_MS, endTime: now - 20 * MINUTE_MS };
  const made = await createReference({ modelId: 'produced', version: 'v1', window });
  expect(made.body).toMatchObject({
    rows: 1_000,
    features: 4,
    source: { kind: 'predictions', predictions: 1_000, skippedFeatures: 0 },
  });
  const { body } = await reportOf('produced', `&startTime=${now - MINUTE_MS}&statistic=wasserstein`);
  const statuses = Object.fromEntries(
    body.features.map(({ name, status }: { name: string; status: string }) => [name, status]),
  );
  expect(statuses).toEqual({
    'inputs.x[0]': 'drifted',
    'inputs.x[1]': 'stable',
    'inputs.colour': 'stable',
    'outputs.label': 'drifted',
  });
  const one = await call('GET', `/v1/monitoring/drift/references/${made.body.id}`);
  expect(sha256Hex(encodeReference(one.body.distributions))).toBe(made.body.digest);
  const again = await createReference({
    modelId: 'produced',
    version: 'v1',
    reference: { ...one.body.distributions, features: one.body.distributions.features.slice(0, 1) },
  });
  expect(again).toMatchObject({ status: 201, body: { features: 1, source: { kind: 'reference' } } });
  const { body: list } = await call('GET', '/v1/monitoring/drift/references?modelId=produced&version=v1');
  expect(list.items.map(({ id }: { id: string }) => id)).toEqual([again.body.id, made.body.id]);
});

test('values that did not travel are counted as unread, another type as mismatched', async () => {
  const random = createRandom(17);
  const version = { model: 'large', modelVersionId: newId() };
  const body = { modelId: 'large', version: 'v1', modelVersionId: version.modelVersionId };
  await createReference({ ...body, columns: columnsOf(rowsOf(random, 200)) });
  const rows = rowsOf(random, 60).map((row, i) => {
    const one = prediction(row, now - i);
    const [x, colour] = one.inputs as [Prediction['inputs'][0], Prediction['inputs'][0]];
    if (i < 10)
      return { ...one, inputs: [{ name: 'x', dtype: 'float32', shape: [1, 2], sha256: 'a'.repeat(64) }] };
    return i < 15 ? { ...one, inputs: [{ ...x, values: ['text', null] }, colour] } : one;
  });
  await storeBatch(database, {
    batchId: newId(),
    source: newId(),
    sequence: 0,
    version: 'v1',
    framework: 'onnx',
    dropped: 0,
    ...version,
    predictions: rows,
  });
  const { body: report } = await reportOf('large');
  expect(report).toMatchObject({ predictions: 60, unread: 10 });
  expect(report.features[0]).toMatchObject({ mismatched: 5, window: { nulls: 0, mismatched: 5 } });
  expect(report.features[1].window.nulls).toBe(5);
  expect(report.features[1].checks.map(({ check }: { check: string }) => check)).toContain('nulls');
});

test('a tenant sees neither references nor predictions of another', async () => {
  const random = createRandom(19);
  const [model, modelVersionId, tenant] = ['private', newId(), 'other'];
  await store({ model, modelVersionId, tenant }, rowsOf(random, 100));
  const window = { startTime: now - MINUTE_MS, endTime: now };
  const request = { tenant, principal: 'test', model, version: 'v1', origin: { window } };
  const { id } = await drift.createReference(request);
  const query = '?modelId=private&version=v1';
  expect((await reportOf(model)).body.status).toBe('no-reference');
  for (const path of [`/${id}`, query]) {
    const { status } = await call('GET', `/v1/monitoring/drift/references${path}`);
    expect(status).toBe(404);
  }
  // a version is whose name it is told by: a reference under a foreign id compares nothing of theirs
  await createReference({
    modelId: model,
    version: 'v1',
    modelVersionId,
    columns: columnsOf(rowsOf(random, 100)),
  });
  expect((await reportOf(model)).body).toMatchObject({ status: 'too-few-rows', predictions: 0 });
});

test('windows are judged one after the other; an alarm is raised and cleared once, with its reasons', async () => {
  const random = createRandom(23);
  const [model, modelVersionId, windowMs] = ['watched', newId(), 5 * MINUTE_MS];
  const version = { model, modelVersionId };
  const reference = await createReference({
    ...{ modelId: model, version: 'v1', modelVersionId },
    columns: columnsOf(rowsOf(random, 1_000)),
  });
  const start = now - 50 * MINUTE_MS;
  const { pool } = database;
  await pool.query("update monitoring.drift_alarms set judged_until = 'infinity'");
  await pool.query('update monitoring.drift_alarms set judged_until = $1 where model = $2', [
    new Date(start),
    model,
  ]);
  // one drifted, one stable, two drifted, one without rows, three stable
  for (const [i, shift] of [1, 0, 1, 1, undefined, 0, 0, 0].entries())
    if (shift !== undefined)
      await store(version, rowsOf(random, 120, shift), start + (i + 1) * windowMs - 1_000);
  const outbox = createOutbox(busTables, 'monitoring');
  const logger = createLogger({ service: 'drift-test', level: 'fatal' });
  const watch = { database, outbox, drift, logger, windowMs };
  const facts = async () => {
    const { rows } = await pool.query('select subject, headers, payload from monitoring.outbox order by seq');
    return rows.map(({ subject, payload }) => ({ subject, data: JSON.parse(payload.toString()) }));
  };
  const told: number[] = [];
  for (let i = 1; i <= 8; i += 1) {
    const end = new Date(start + i * windowMs);
    // it is due a minute after its end, not before
    expect(await judgeNext(watch, end)).toBe(false);
    expect(await judgeNext(watch, new Date(end.getTime() + MINUTE_MS))).toBe(true);
    told.push((await facts()).length);
  }
  expect(told).toEqual([0, 0, 0, 1, 1, 1, 1, 2]);
  const [raised, cleared] = await facts();
  expect(raised).toMatchObject({
    subject: 'millrace.evt.drift.detected.v1',
    data: {
      ...version,
      version: 'v1',
      referenceId: reference.body.id,
      predictions: 120,
      startTime: new Date(start + 3 * windowMs).toISOString(),
      endTime: new Date(start + 4 * windowMs).toISOString(),
      driftedFeatures: 1,
      checks: [{ feature: 'inputs.x[0]', check: 'distribution', referenceSize: 1_000, currentSize: 120 }],
    },
  });
  expect(cleared).toMatchObject({ subject: 'millrace.evt.drift.cleared.v1', data: version });
});

const rows = { x: new Array<number>(60).fill(1) };
test.each<[string, object, number, string, RegExp]>([
  ['no origin', {}, 400, 'invalid_request', /exactly one of columns, window and reference/],
  ['two origins', { columns: rows, reference: {} }, 400, 'invalid_request', /exactly one/],
  ['an unknown version', { columns: rows }, 404, 'version_not_found', /give modelVersionId/],
  [
    'few rows',
    { modelVersionId: newId(), columns: { x: [1] } },
    400,
    'invalid_request',
    /50 to 1000000 rows/,
  ],
  ['no columns', { modelVersionId: newId(), columns: {} }, 400, 'invalid_request', /1 to 512 features/],
  [
    'a broken reference',
    { modelVersionId: newId(), reference: { format: 'x' } },
    400,
    'invalid_request',
    /schema/,
  ],
  [
    'a cell that is a list',
    { modelVersionId: newId(), columns: { x: [[1]] } },
    400,
    'invalid_request',
    /columns/,
  ],
  [
    'a window that ends before it starts',
    { modelVersionId: newId(), window: { startTime: 2, endTime: 1 } },
    400,
    'invalid_request',
    /after endTime/,
  ],
  [
    'a window without predictions',
    { modelVersionId: newId(), window: { startTime: 1, endTime: 2 } },
    400,
    'invalid_request',
    /No prediction in the window/,
  ],
])('refused: %s', async (_name, change, status, code, message) => {
  const answer = await createReference({ modelId: 'refused', version: 'v1', ...change });
  expect(answer).toMatchObject({ status, body: { code, detail: expect.stringMatching(message) } });
});

test('an unknown statistic, level or reference is refused', async () => {
  expect((await reportOf('x', '&statistic=t-test')).status).toBe(400);
  expect((await reportOf('x', '&alpha=0')).status).toBe(400);
  const missing = await call('GET', `/v1/monitoring/drift/references/${newId()}`);
  expect(missing).toMatchObject({ status: 404, body: { code: 'drift_reference_not_found' } });
});
