import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Bus, Pull } from '@millrace/bus';
import {
  callRpc,
  connectBus,
  createOutbox,
  createOutboxRelay,
  ensureStreams,
  startPull,
} from '@millrace/bus';
import type {
  EventData,
  ModelVersionRegistered,
  PredictionBatch,
  ResolvedVersion,
} from '@millrace/contracts';
import { loadVersionMethod, newId, ModelVersionRegistered as Registered } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { createDatabase } from '@millrace/database';
import { generateKeyPair } from '@millrace/integrity';
import type { Running } from '@millrace/service-kit';
import { createLogger } from '@millrace/service-kit';
import type { Storage } from '@millrace/storage';
import { createStorage } from '@millrace/storage';
import type { PrivateNats, TestBucket, TestDatabase } from '@millrace/testing';
import { createTestBucket, createTestDatabase, eventually, startNats } from '@millrace/testing';
import { InferenceConfig } from '../src/config.ts';
import { busTables } from '../src/schema.ts';
import { startInference } from '../src/start.ts';
import type { TestRegistry } from './support/test-registry.ts';
import { startTestRegistry } from './support/test-registry.ts';

const PORT_FREE = '0';
const ROW = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1];
let nats: PrivateNats;
let testDatabase: TestDatabase;
let bucket: TestBucket;
let bus: Bus;
let database: Database;
let storage: Storage;
let registry: TestRegistry;
let service: Running & { origin: string };
let folder: string;
let telemetry: Pull;
let events: Pull;
const batches: PredictionBatch[] = [];
const facts: { subject: string; data: Record<string, unknown> }[] = [];

const fixture = (name: string): Buffer => readFileSync(new URL(`./fixtures/${name}.onnx`, import.meta.url));

function pull(
  stream: 'telemetry' | 'events',
  filterSubject: string,
  onJson: (subject: string, data: unknown) => void,
): Pull {
  const spec = {
    stream,
    durable: newId(),
    filterSubject,
    ackWaitMs: 5_000,
    maxDeliver: 10,
    maxAckPending: 100,
  };
  return startPull(bus, spec, {
    concurrency: 1,
    async onMessage(message) {
      onJson(message.subject, message.json());
      message.ack();
    },
  });
}

beforeAll(async () => {
  [nats, testDatabase, bucket] = await Promise.all([startNats(), createTestDatabase(), createTestBucket()]);
  folder = mkdtempSync(join(tmpdir(), 'inference-test-'));
  const logger = createLogger({ service: 'test', level: 'error' });
  bus = await connectBus({ url: nats.servicesUrl, name: 'test', inboxPrefix: '_INBOX_services', logger });
  await ensureStreams(bus);
  storage = createStorage(bucket);
  registry = startTestRegistry(bus, storage);
  writeFileSync(join(folder, 'signing.pem'), registry.publicKeyPem);
  writeFileSync(join(folder, 'auth.pem'), generateKeyPair().publicKeyPem);
  const started = await startInference({
    MILLRACE_PORT: PORT_FREE,
    MILLRACE_LOG_LEVEL: 'error',
    MILLRACE_DATABASE_URL: testDatabase.url,
    MILLRACE_NATS_URL: nats.servicesUrl,
    MILLRACE_S3_ENDPOINT: bucket.endpoint,
    MILLRACE_S3_REGION: bucket.region,
    MILLRACE_S3_BUCKET: bucket.bucket,
    MILLRACE_S3_ACCESS_KEY_ID: bucket.accessKeyId,
    MILLRACE_S3_SECRET_ACCESS_KEY: bucket.secretAccessKey,
    MILLRACE_AUTH_MODE: 'local',
    MILLRACE_AUTH_PUBLIC_KEY_FILE: join(folder, 'auth.pem'),
    MILLRACE_SIGNING_PUBLIC_KEY_FILE: join(folder, 'signing.pem'),
    MILLRACE_CACHE_DIR: join(folder, 'cache'),
    MILLRACE_LOADED_MODELS_MAX: '4',
    MILLRACE_PREDICT_ROWS_MAX: '100',
    MILLRACE_PREDICT_BODY_BYTES_MAX: '4000000',
  });
  service = started;
  database = createDatabase({ url: testDatabase.url, applicationName: 'test' });
  telemetry = pull('telemetry', 'millrace.tel.prediction.*', (_subject, data) =>
    batches.push(data as PredictionBatch),
  );
  events = pull('events', 'millrace.evt.model-version.>', (subject, data) => {
    facts.push({ subject, data: data as Record<string, unknown> });
  });
});

afterAll(async () => {
  await service.close();
  await Promise.all([telemetry.stop(), events.stop()]);
  await registry.stop();
  await bus.close();
  await database.close();
  storage.close();
  await Promise.all([nats.stop(), testDatabase.drop(), bucket.drop()]);
  rmSync(folder, { recursive: true });
});

type Answer = { status: number; headers: Headers; body: Record<string, unknown> };

async function post(
  path: string,
  body: string | Buffer,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(`${service.origin}${path}`, { method: 'POST', body: body as string, headers });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.includes('json') === true;
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : { text } };
}

const predict = (body: unknown) =>
  post('/predict', JSON.stringify(body), { 'content-type': 'application/json' });
const classify = (model: string, rows = [ROW], more: object = {}) =>
  predict({ modelId: model, features: { float_input: rows.flat() }, ...more });

describe('/predict', () => {
  test('answers in the shape of the API', async () => {
    await registry.add('sklearn', fixture('classifier'));
    const { status, body } = await classify('sklearn', [ROW], { userId: 'user-123' });
    expect(status).toBe(200);
    expect(Object.keys(body)).toEqual([
      'inferenceId',
      'prediction',
      'confidence',
      'modelVersion',
      'latencyMs',
    ]);
    const prediction = body.prediction as { output_label: number[]; output_probability: number[] };
    expect(prediction.output_label).toEqual([1]);
    expect(prediction.output_probability).toHaveLength(2);
    expect(body.confidence).toBeCloseTo(Math.max(...prediction.output_probability), 6);
    expect(body.modelVersion).toBe('v1');
    expect(body.latencyMs).toBeGreaterThan(0);
  });

  test('takes nested rows and several of them', async () => {
    await registry.add('rows', fixture('classifier'));
    const single = await predict({ modelId: 'rows', features: { float_input: [ROW] } });
    const double = await classify('rows', [ROW, ROW]);
    const one = single.body.prediction as { output_probability: number[] };
    expect(double.body).toMatchObject({
      confidence: null,
      prediction: {
        output_label: [1, 1],
        output_probability: [one.output_probability, one.output_probability],
      },
    });
  });

  test('serves production unless a version is named, else the newest', async () => {
    await registry.add('stages', fixture('classifier'));
    const second = await registry.add('stages', fixture('classifier'), { version: 'second' });
    expect((await classify('stages')).body.modelVersion).toBe('second');
    expect((await classify('stages', [ROW], { version: 'v1' })).body.modelVersion).toBe('v1');
    expect((await classify('stages', [ROW], { version: '2' })).body.modelVersion).toBe('second');
    // the event of a change counts at once, without waiting for what is remembered to age
    registry.change(second.modelVersionId, { stage: 'archived' });
    bus.nc.publish(
      'millrace.evt.model-version.stage-changed.v1',
      JSON.stringify({ model: 'stages', modelVersionId: second.modelVersionId, to: 'archived' }),
    );
    await eventually(async () => expect((await classify('stages')).status).toBe(403));
    expect((await classify('stages')).body.code).toBe('stage_not_servable');
    expect((await classify('stages', [ROW], { version: 'v1' })).status).toBe(200);
  });

  test('int64 beyond 2^53 stays exact', async () => {
    await registry.add('counter', fixture('counter'));
    const features = { count: ['9007199254740993', 1], step: [1, 1], flag: [true, false] };
    const { body } = await predict({ modelId: 'counter', features });
    expect(body.prediction).toEqual({ next: ['9007199254740994', 2], flag_out: [true, false] });
  });

  test.each<[string, object | string, number, string]>([
    ['unknown model', { modelId: 'nobody', features: {} }, 404, 'model_not_found'],
    [
      'unknown version',
      { modelId: 'sklearn', version: 'v9', features: { float_input: ROW } },
      404,
      'version_not_found',
    ],
    ['missing input', { modelId: 'sklearn', features: {} }, 400, 'missing_input'],
    ['extra input', { modelId: 'sklearn', features: { float_input: ROW, other: [1] } }, 400, 'extra_input'],
    ['wrong length', { modelId: 'sklearn', features: { float_input: [1] } }, 400, 'invalid_shape'],
    [
      'wrong type',
      { modelId: 'sklearn', features: { float_input: ['a', ...ROW.slice(1)] } },
      400,
      'invalid_type',
    ],
    [
      'too many rows',
      { modelId: 'sklearn', features: { float_input: Array.from({ length: 1_010 }, () => 1) } },
      413,
      'batch_too_large',
    ],
    [
      'unknown field',
      { modelId: 'sklearn', features: { float_input: ROW }, debug: true },
      400,
      'unknown_field',
    ],
    ['NaN', '{"modelId":"sklearn","features":{"float_input":[NaN,1,1,1,1,1,1,1,1,1]}}', 400, 'not_finite'],
    ['no JSON', '{"modelId":', 400, 'invalid_json'],
  ])('%s', async (_case, body, status, code) => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const answer = await post('/predict', text, { 'content-type': 'application/json' });
    expect(answer).toMatchObject({ status, body: { code, status } });
  });

  test('refuses other types and bodies over the bound', async () => {
    expect(await post('/predict', 'x', { 'content-type': 'text/plain' })).toMatchObject({
      status: 415,
      body: { code: 'unsupported_media_type' },
    });
    const large = await post('/predict', Buffer.alloc(4_000_001, ' '), {
      'content-type': 'application/json',
    });
    expect(large).toMatchObject({ status: 413, body: { code: 'payload_too_large' } });
  });
});

describe('verified load', () => {
  async function refused(changes: (version: ResolvedVersion) => Partial<ResolvedVersion>): Promise<unknown> {
    const name = `refused-${newId()}`;
    const version = await registry.add(name, fixture('classifier'));
    registry.change(version.modelVersionId, changes(version));
    return (await classify(name)).body.code;
  }

  test('a package that is not the one that was signed is not loaded', async () => {
    const other = await registry.add(`other-${newId()}`, fixture('counter'));
    expect(await refused(() => ({ manifest: other.manifest }))).toBe('digest_mismatch');
    expect(await refused(() => ({ packageDigest: 'b'.repeat(64) }))).toBe('manifest_mismatch');
    expect(await refused(() => ({ servingFile: 'other.onnx' }))).toBe('manifest_mismatch');
    expect(await refused(({ signature }) => ({ signature: { ...signature, dsseEnvelope: {} } }))).toBe(
      'signature_malformed',
    );
    const manifest = ({ manifest: { files } }: ResolvedVersion) => ({
      files: [...files, { path: 'extra', sha256: 'c'.repeat(64), sizeBytes: 1 }],
    });
    expect(await refused((version) => ({ manifest: manifest(version) }))).toBe('manifest_mismatch');
  });

  test('a file that rotted in the node cache is fetched again, one that rotted in S3 is refused', async () => {
    const healed = await registry.add('healed', Buffer.concat([fixture('classifier'), unknownField(1)]));
    const [file] = healed.manifest.files;
    const cached = (sha256 = '') => join(folder, 'cache', 'cas', sha256.slice(0, 2), sha256);
    expect((await classify('healed')).status).toBe(200);
    expect(await unload(healed.modelVersionId)).toBe(204);
    writeFileSync(cached(file?.sha256), 'rot');
    expect((await classify('healed')).status).toBe(200);
    const rotten = await registry.add('rotten', Buffer.concat([fixture('classifier'), unknownField(2)]));
    const sha256 = rotten.manifest.files[0]?.sha256 ?? '';
    await storage.putObject(`cas/${sha256.slice(0, 2)}/${sha256}`, fixture('counter'));
    expect((await classify('rotten')).body.code).toBe('artifact_corrupt');
    expect(readdirSync(join(folder, 'cache', 'cas'), { recursive: true })).not.toContain(
      join(sha256.slice(0, 2), sha256),
    );
  });

  /** A protobuf field that onnxruntime skips: other bytes, same model. */
  function unknownField(value: number): Buffer {
    return Buffer.from([0xf8, 0x3f, value]);
  }

  async function unload(id: string): Promise<number> {
    return (await fetch(`${service.origin}/v1/inference/models/${id}`, { method: 'DELETE' })).status;
  }

  test('only so many models stay loaded, and one that left comes back', async () => {
    for (let i = 0; i < 6; i += 1) await registry.add(`many-${i}`, fixture('classifier'));
    for (let i = 0; i < 6; i += 1) expect((await classify(`many-${i}`)).status).toBe(200);
    type View = { models: { model: string }[] };
    const list = async () =>
      ((await (await fetch(`${service.origin}/v1/inference/models`)).json()) as View).models.map(
        ({ model }) => model,
      );
    expect(await list()).toEqual(['many-2', 'many-3', 'many-4', 'many-5']);
    expect((await classify('many-0')).status).toBe(200);
    expect(await list()).toEqual(['many-3', 'many-4', 'many-5', 'many-0']);
    expect(await unload(newId())).toBe(404);
  });

  test('a version asked for by many at once is loaded once', async () => {
    await registry.add('stampede', fixture('classifier'));
    const before = registry.asked();
    const answers = await Promise.all(Array.from({ length: 20 }, () => classify('stampede')));
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect(registry.asked() - before).toBe(1);
  });
});

describe('events', () => {
  async function announce(version: ResolvedVersion): Promise<void> {
    const {
      modelVersionId,
      modelId,
      model,
      version: label,
      ordinal,
      stage,
      packageDigest,
      manifest,
    } = version;
    const data: EventData<typeof ModelVersionRegistered> = {
      modelVersionId,
      modelId,
      model,
      version: label,
      ordinal,
      stage,
      packageDigest,
      modelDigest: packageDigest,
      files: manifest.files,
      isReused: false,
      requestId: modelId,
    };
    await database.transaction(async (tx) => {
      await createOutbox(busTables, 'registry').append(tx, Registered, modelVersionId, data);
    });
    const relay = createOutboxRelay({ database, tables: busTables, bus, schema: 'inference' });
    relay.start();
    await eventually(async () =>
      expect(facts.some(({ data }) => data.modelVersionId === modelVersionId)).toBe(true),
    );
    await relay.stop();
  }

  const factOf = (version: ResolvedVersion, name: string) =>
    eventually(async () => {
      const found = facts.find(
        ({ subject, data }) => subject.includes(name) && data.modelVersionId === version.modelVersionId,
      );
      if (found === undefined) throw new Error(`no ${name}`);
      return found.data;
    });

  test('a registered version is loaded, warmed and announced', async () => {
    const version = await registry.add('announced', fixture('classifier'));
    await announce(version);
    const loaded = await factOf(version, '.loaded.');
    expect(loaded).toMatchObject({
      model: 'announced',
      ordinal: 1,
      packageDigest: version.packageDigest,
      requestId: version.modelId,
    });
    expect(loaded.warmUpMs).toBeGreaterThan(0);
  });

  test('one that cannot be loaded is announced with the reason', async () => {
    const version = await registry.add('broken', Buffer.from('not a model'));
    await announce(version);
    expect(await factOf(version, '.load-failed.')).toMatchObject({ error: { code: 'model_load_failed' } });
    const { failures } = (await (await fetch(`${service.origin}/v1/inference/models`)).json()) as {
      failures: object[];
    };
    expect(failures).toContainEqual(expect.objectContaining({ model: 'broken', code: 'model_load_failed' }));
  });

  test('the registry may ask for a load and learns how it went', async () => {
    const good = await registry.add('asked', fixture('classifier'));
    const options = { timeoutMs: 20_000 };
    const ask = (modelVersionId: string) =>
      callRpc(bus, 'inference', 'load', loadVersionMethod, { modelVersionId }, options);
    expect(await ask(good.modelVersionId)).toMatchObject({
      modelVersionId: good.modelVersionId,
      warmUpMs: expect.any(Number),
    });
    const bad = await registry.add('asked-bad', Buffer.from('not a model'));
    await expect(ask(bad.modelVersionId)).rejects.toMatchObject({ code: 'model_load_failed' });
  });
});

describe('telemetry', () => {
  test('every prediction is told with its values, or their digest when they are large', async () => {
    await registry.add('told', fixture('classifier'));
    const version = await registry.add('told-large', fixture('cnn'));
    const small = await classify('told', [ROW], { userId: 'u', sessionId: 's' });
    const large = await predict({
      modelId: 'told-large',
      features: { input: new Array<number>(150_528).fill(0.5) },
    });
    expect(large.status).toBe(200);
    const told = (id: unknown) =>
      eventually(async () => {
        const found = batches
          .flatMap((batch) => batch.predictions.map((prediction) => ({ batch, prediction })))
          .find(({ prediction }) => prediction.inferenceId === id);
        if (found === undefined) throw new Error('not told yet');
        return found;
      });
    const { prediction } = await told(small.body.inferenceId);
    expect(prediction).toMatchObject({
      userId: 'u',
      sessionId: 's',
      confidence: small.body.confidence,
      inputs: [{ name: 'float_input', shape: [1, 10], values: ROW }],
    });
    const other = await told(large.body.inferenceId);
    expect(other.batch).toMatchObject({
      model: 'told-large',
      modelVersionId: version.modelVersionId,
      dropped: 0,
    });
    expect(other.prediction.inputs[0]).toEqual({
      name: 'input',
      dtype: 'float32',
      shape: [1, 224, 224, 3],
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
  });
});

describe('open inference protocol', () => {
  const infer = (body: string | Buffer, headers: Record<string, string> = {}, path = '/v2/models/v2/infer') =>
    post(path, body, headers);
  const tensor = (changes: object = {}) => ({
    name: 'float_input',
    shape: [1, 10],
    datatype: 'FP32',
    data: ROW,
    ...changes,
  });
  const json = (inputs: object[], more: object = {}) => JSON.stringify({ id: 'i', inputs, ...more });

  function binary(header: object, values: number[]): [Buffer, Record<string, string>] {
    const head = Buffer.from(JSON.stringify(header));
    const body = Buffer.concat([head, Buffer.from(new Float32Array(values).buffer)]);
    return [body, { 'inference-header-content-length': String(head.length) }];
  }

  const binaryInput = tensor({ data: undefined, parameters: { binary_data_size: 40 } });

  beforeAll(async () => {
    await registry.add('v2', fixture('classifier'));
  });

  test('metadata, live and ready', async () => {
    const get = async (path: string) => {
      const response = await fetch(`${service.origin}${path}`);
      return { status: response.status, body: await response.json() };
    };
    expect(await get('/v2/health/live')).toEqual({ status: 200, body: { live: true } });
    expect(await get('/v2/health/ready')).toEqual({ status: 200, body: { ready: true } });
    expect(await get('/v2/models/v2/ready')).toMatchObject({ status: 200, body: { ready: true } });
    expect((await get('/v2')).body).toMatchObject({ extensions: ['binary_tensor_data'] });
    expect(await get('/v2/models/none/ready')).toMatchObject({
      status: 404,
      body: { error: expect.any(String) },
    });
    expect((await get('/v2/models/v2/versions/1')).body).toEqual({
      name: 'v2',
      versions: ['1'],
      platform: 'onnxruntime_onnx',
      inputs: [{ name: 'float_input', datatype: 'FP32', shape: [-1, 10] }],
      outputs: [
        { name: 'output_label', datatype: 'INT64', shape: [-1] },
        { name: 'output_probability', datatype: 'FP32', shape: [-1, 2] },
      ],
    });
  });

  test('JSON and binary tensors give the same answer', async () => {
    const asJson = await infer(json([tensor({ data: [ROW] })]));
    expect(asJson.body).toMatchObject({ model_name: 'v2', model_version: '1', id: 'i' });
    const outputs = asJson.body.outputs as { name: string; shape: number[]; data: number[] }[];
    expect(outputs.map(({ name, shape }) => [name, shape])).toEqual([
      ['output_label', [1]],
      ['output_probability', [1, 2]],
    ]);
    const [body, headers] = binary(
      {
        inputs: [binaryInput],
        outputs: [{ name: 'output_probability' }],
        parameters: { binary_data_output: true },
      },
      ROW,
    );
    const response = await fetch(`${service.origin}/v2/models/v2/infer`, {
      method: 'POST',
      body: new Uint8Array(body),
      headers,
    });
    const length = Number(response.headers.get('inference-header-content-length'));
    const bytes = Buffer.from(await response.arrayBuffer());
    expect(JSON.parse(bytes.toString('utf8', 0, length)).outputs).toEqual([
      { name: 'output_probability', datatype: 'FP32', shape: [1, 2], parameters: { binary_data_size: 8 } },
    ]);
    expect(new Float32Array(bytes.buffer.slice(bytes.byteOffset + length))).toEqual(
      new Float32Array(outputs[1]?.data ?? []),
    );
  });

  test('raw and compressed requests', async () => {
    const raw = await fetch(`${service.origin}/v2/models/v2/infer`, {
      method: 'POST',
      body: new Uint8Array(new Float32Array([...ROW, ...ROW]).buffer),
      headers: { 'inference-header-content-length': '0' },
    });
    expect(raw.status).toBe(200);
    expect(raw.headers.get('content-type')).toContain('octet-stream');
    expect((await infer(gzipSync(json([tensor()])), { 'content-encoding': 'gzip' })).status).toBe(200);
    const bomb = gzipSync(Buffer.alloc(5_000_000, ' '));
    expect((await infer(bomb, { 'content-encoding': 'gzip' })).status).toBe(413);
    expect((await infer('x', { 'content-encoding': 'gzip' })).status).toBe(400);
    expect((await infer('x', { 'content-encoding': 'br' })).status).toBe(415);
  });

  test.each<[string, object | string, number]>([
    ['no inputs', { id: 'x' }, 400],
    ['unknown output', { inputs: [tensor()], outputs: [{ name: 'none' }] }, 400],
    ['unknown field', { inputs: [tensor()], extra: 1 }, 400],
    [
      'classification',
      { inputs: [tensor()], outputs: [{ name: 'output_label', parameters: { classification: 1 } }] },
      400,
    ],
    ['wrong datatype', { inputs: [tensor({ datatype: 'FP64' })] }, 400],
    ['wrong shape', { inputs: [tensor({ shape: [1, 9] })] }, 400],
    ['negative shape', { inputs: [tensor({ shape: [-1, 10] })] }, 400],
    ['shape over 2^53', { inputs: [tensor({ shape: [2 ** 40, 2 ** 40] })] }, 400],
    ['large shape, few values', { inputs: [tensor({ shape: [100_000_000, 10] })] }, 400],
    ['few values', { inputs: [tensor({ data: [1] })] }, 400],
    ['no values', { inputs: [tensor({ data: undefined })] }, 400],
    ['twice', { inputs: [tensor(), tensor()] }, 400],
    ['extra input', { inputs: [tensor(), tensor({ name: 'x' })] }, 400],
    ['not an object', '[1]', 400],
  ])('%s is refused', async (_case, body, status) => {
    const answer = await infer(typeof body === 'string' ? body : JSON.stringify(body));
    expect(answer).toMatchObject({ status, body: { error: expect.any(String) } });
  });

  test('binary data that does not fit its header is refused', async () => {
    const cases: [Buffer, Record<string, string>][] = [
      binary({ inputs: [binaryInput] }, ROW.slice(1)),
      binary({ inputs: [binaryInput] }, [...ROW, 1]),
      binary({ inputs: [binaryInput] }, [Number.NaN, ...ROW.slice(1)]),
      [Buffer.from('{}'), { 'inference-header-content-length': '3' }],
      [Buffer.from('{}'), { 'inference-header-content-length': '-1' }],
    ];
    for (const [body, headers] of cases) expect((await infer(body, headers)).status).toBe(400);
  });
});

test('metrics and the OpenAPI document name the model and the routes', async () => {
  const metrics = await (await fetch(`${service.origin}/metrics`)).text();
  expect(metrics).toMatch(/millrace_inference_compute_seconds_count\{[^}]*model="sklearn"[^}]*\} [1-9]/);
  expect(metrics).toMatch(/millrace_inference_telemetry_predictions\{[^}]*state="recorded"/);
  const document = (await (await fetch(`${service.origin}/openapi.json`)).json()) as { paths: object };
  expect(Object.keys(document.paths)).toEqual(
    expect.arrayContaining(['/predict', '/v2/models/{model}/infer', '/v1/inference/models']),
  );
  expect(Object.keys(InferenceConfig.properties).length).toBeGreaterThan(20);
});
