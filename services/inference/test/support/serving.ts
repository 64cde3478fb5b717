import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bus, Pull } from '@millrace/bus';
import { connectBus, ensureStreams, startPull } from '@millrace/bus';
import type { PredictionBatch } from '@millrace/contracts';
import { newId } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { createDatabase } from '@millrace/database';
import { generateKeyPair } from '@millrace/integrity';
import { createLogger } from '@millrace/service-kit';
import type { Storage } from '@millrace/storage';
import { createStorage } from '@millrace/storage';
import type { TestBucket } from '@millrace/testing';
import { createTestBucket, createTestDatabase, startNats } from '@millrace/testing';
import { startInference } from '../../src/start.ts';
import type { TestRegistry } from './test-registry.ts';
import { startTestRegistry } from './test-registry.ts';

/** One row for the classifier. */
export const ROW = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1];

export type Answer = { status: number; headers: Headers; body: Record<string, unknown> };

/** The service in this process on real servers, what it published, and ways to ask it. */
export type Serving = {
  readonly origin: string;
  /** `host:port` of gRPC. */
  readonly grpc: string;
  readonly folder: string;
  /** Variables that start the service on these servers once more. */
  readonly environment: NodeJS.ProcessEnv;
  readonly registry: TestRegistry;
  readonly bus: Bus;
  readonly database: Database;
  readonly storage: Storage;
  readonly batches: PredictionBatch[];
  readonly facts: { subject: string; data: Record<string, unknown> }[];
  post(path: string, body: string | Buffer, headers?: Record<string, string>): Promise<Answer>;
  predict(body: unknown): Promise<Answer>;
  /** Asks a model made of the classifier fixture. */
  classify(model: string, rows?: number[][], more?: object): Promise<Answer>;
  stop(): Promise<void>;
};

/** The bytes of a model of the fixtures. */
export function fixture(name: string): Buffer {
  return readFileSync(new URL(`../fixtures/${name}.onnx`, import.meta.url));
}

function pull(
  bus: Bus,
  stream: 'telemetry' | 'events',
  filterSubject: string,
  onJson: (subject: string, data: unknown) => void,
): Pull {
  const bounds = { ackWaitMs: 5_000, maxDeliver: 10, maxAckPending: 100 };
  return startPull(
    bus,
    { stream, durable: newId(), filterSubject, ...bounds },
    {
      concurrency: 1,
      async onMessage(message) {
        onJson(message.subject, message.json());
        message.ack();
      },
    },
  );
}

function environment(servers: { database: string; nats: string; bucket: TestBucket; folder: string }) {
  const { bucket, folder } = servers;
  return {
    MILLRACE_PORT: '0',
    MILLRACE_FRONTS: '1',
    MILLRACE_INLINE_RUN_MS_MAX: '0.15',
    MILLRACE_LOG_LEVEL: 'fatal',
    MILLRACE_DATABASE_URL: servers.database,
    MILLRACE_NATS_URL: servers.nats,
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
  };
}

async function post(url: string, body: string | Buffer, headers: Record<string, string>): Promise<Answer> {
  const response = await fetch(url, { method: 'POST', body: body as string, headers });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.includes('json') === true;
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : { text } };
}

/** Starts everything, with `settings` in the environment of the service; call stop() in afterAll. */
export async function startServing(settings: NodeJS.ProcessEnv = {}): Promise<Serving> {
  const [nats, testDatabase, bucket] = await Promise.all([
    startNats(),
    createTestDatabase(),
    createTestBucket(),
  ]);
  const folder = mkdtempSync(join(tmpdir(), 'inference-test-'));
  const logger = createLogger({ service: 'test', level: 'error' });
  const bus = await connectBus({
    url: nats.servicesUrl,
    name: 'test',
    inboxPrefix: '_INBOX_services',
    logger,
  });
  await ensureStreams(bus);
  const storage = createStorage(bucket);
  const registry = startTestRegistry(bus, storage);
  writeFileSync(join(folder, 'signing.pem'), registry.publicKeyPem);
  writeFileSync(join(folder, 'auth.pem'), generateKeyPair().publicKeyPem);
  const servers = { database: testDatabase.url, nats: nats.servicesUrl, bucket, folder };
  const service = await startInference({ ...environment(servers), ...settings });
  const database = createDatabase({ url: testDatabase.url, applicationName: 'test' });
  const batches: PredictionBatch[] = [];
  const facts: Serving['facts'] = [];
  const pulls = [
    pull(bus, 'telemetry', 'millrace.tel.prediction.*', (_subject, data) =>
      batches.push(data as PredictionBatch),
    ),
    pull(bus, 'events', 'millrace.evt.model-version.>', (subject, data) => {
      facts.push({ subject, data: data as Record<string, unknown> });
    }),
  ];
  const predict = (body: unknown) =>
    post(`${service.origin}/predict`, JSON.stringify(body), { 'content-type': 'application/json' });
  return {
    origin: service.origin,
    grpc: service.grpc,
    folder,
    environment: environment(servers),
    registry,
    bus,
    database,
    storage,
    batches,
    facts,
    post: (path, body, headers = {}) => post(`${service.origin}${path}`, body, headers),
    predict,
    classify: (model, rows = [ROW], more = {}) =>
      predict({ modelId: model, features: { float_input: rows.flat() }, ...more }),
    async stop() {
      await service.close();
      await Promise.all(pulls.map((one) => one.stop()));
      await registry.stop();
      await bus.close();
      await database.close();
      storage.close();
      await Promise.all([nats.stop(), testDatabase.drop(), bucket.drop()]);
      rmSync(folder, { recursive: true });
    },
  };
}
