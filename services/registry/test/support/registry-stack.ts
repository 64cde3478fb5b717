import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Bus } from '@millrace/bus';
import { connectBus } from '@millrace/bus';
import { environmentsRoot } from '@millrace/embedded';
import { generateKeyPair } from '@millrace/integrity';
import type { Storage } from '@millrace/storage';
import { createStorage } from '@millrace/storage';
import type { ServiceProcess, TestProcess } from '@millrace/testing';
import {
  createTestBucket,
  createTestDatabase,
  startNats,
  startServiceProcess,
  startTestProcess,
} from '@millrace/testing';

const ROOT = fileURLToPath(new URL('../../../..', import.meta.url));

type StackService = 'registry' | 'inference' | 'converter' | 'datasets' | 'training-orchestrator' | 'gateway';

/** The first key of a gateway, which may do everything. */
export const GATEWAY_TOKEN = `mlr_bootstrap_${'A'.repeat(43)}`;
/** Where nobody listens. */
const NOWHERE = 'http://127.0.0.1:9';

/** The registry, and inference if asked for, as processes on servers of one test file. */
export type RegistryStack = {
  readonly registry: ServiceProcess;
  readonly inference: ServiceProcess | undefined;
  readonly storage: Storage;
  readonly bus: Bus;
  readonly databaseUrl: string;
  readonly publicKeyPem: string;
  /** The key that this registry signs with. */
  readonly privateKeyPem: string;
  /** Folders of the node caches of inference, by the order of their start. */
  readonly cacheDirs: readonly string[];
  /** Signs key sets, as the gateway would. */
  readonly gatewayKeyPem: string;
  /** Starts one more process of a service on the same servers. */
  startReplica(name: StackService, more?: NodeJS.ProcessEnv): Promise<ServiceProcess>;
  /** Starts a worker that does conversions. */
  startConversionWorker(): Promise<void>;
  stop(): Promise<void>;
};

const quiet = {
  warn: () => undefined,
  info: () => undefined,
  error: () => undefined,
  debug: () => undefined,
};

/** Starts the services; everything they need is theirs alone. */
export async function startRegistryStack(options: {
  withInference: boolean;
  env?: NodeJS.ProcessEnv;
}): Promise<RegistryStack> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-registry-test-'));
  const [nats, database, bucket] = await Promise.all([startNats(), createTestDatabase(), createTestBucket()]);
  const keys = generateKeyPair();
  const gatewayKeys = generateKeyPair();
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  const env = {
    MILLRACE_LOG_LEVEL: 'info',
    MILLRACE_DATABASE_URL: database.url,
    MILLRACE_NATS_URL: nats.servicesUrl,
    MILLRACE_S3_ENDPOINT: bucket.endpoint,
    MILLRACE_S3_REGION: bucket.region,
    MILLRACE_S3_BUCKET: bucket.bucket,
    MILLRACE_S3_ACCESS_KEY_ID: bucket.accessKeyId,
    MILLRACE_S3_SECRET_ACCESS_KEY: bucket.secretAccessKey,
    MILLRACE_AUTH_MODE: 'local',
    MILLRACE_AUTH_PUBLIC_KEY_FILE: file('gateway.pub.pem', gatewayKeys.publicKeyPem),
    MILLRACE_SIGNING_PUBLIC_KEY_FILE: file('registry.pub.pem', keys.publicKeyPem),
  };
  const started: ServiceProcess[] = [];
  const cacheDirs: string[] = [];
  const workers: TestProcess[] = [];
  async function start(name: StackService, more: NodeJS.ProcessEnv = {}): Promise<ServiceProcess> {
    const own = {
      registry: () => ({ MILLRACE_SIGNING_KEY_FILE: file('registry.pem', keys.privateKeyPem) }),
      inference: () => {
        const cacheDir = join(folder, `cache-${started.length}`);
        cacheDirs.push(cacheDir);
        return { MILLRACE_CACHE_DIR: cacheDir };
      },
      converter: () => ({}),
      datasets: () => ({}),
      'training-orchestrator': () => ({}),
      gateway: () => ({
        MILLRACE_AUTH_KEY_FILE: file('gateway.pem', gatewayKeys.privateKeyPem),
        MILLRACE_BOOTSTRAP_TOKEN_FILE: file('token', GATEWAY_TOKEN),
        MILLRACE_UPSTREAM_REGISTRY: registry.origin,
        ...Object.fromEntries(
          ['DATASETS', 'TRAINING_ORCHESTRATOR', 'CONVERTER', 'INFERENCE', 'MONITORING'].map((upstream) => [
            `MILLRACE_UPSTREAM_${upstream}`,
            NOWHERE,
          ]),
        ),
      }),
    }[name]();
    const service = await startServiceProcess(name, {
      ...env,
      ...own,
      MILLRACE_FRONTS: '2',
      ...options.env,
      ...more,
    });
    started.push(service);
    return service;
  }
  const registry = await start('registry');
  const inference = options.withInference ? await start('inference') : undefined;
  const bus = await connectBus({
    url: nats.servicesUrl,
    name: 'test',
    inboxPrefix: '_INBOX_services',
    logger: quiet,
  });
  const storage = createStorage(bucket);
  return {
    registry,
    inference,
    storage,
    bus,
    databaseUrl: database.url,
    publicKeyPem: keys.publicKeyPem,
    privateKeyPem: keys.privateKeyPem,
    cacheDirs,
    gatewayKeyPem: gatewayKeys.privateKeyPem,
    startReplica: start,
    async startConversionWorker() {
      workers.push(
        await startTestProcess({
          name: 'conversion-worker',
          command: join(environmentsRoot(process.env), 'conversion/bin/python'),
          args: ['-m', 'millrace_conversion.worker'],
          env: {
            ...env,
            PYTHONPATH: ['libs/worker-py/src', 'services/conversion-worker/src']
              .map((path) => join(ROOT, path))
              .join(':'),
            MILLRACE_NATS_URL: nats.workerUrl,
            MILLRACE_NATS_INBOX_PREFIX: '_INBOX_worker',
            MILLRACE_WORKER_POOL: 'cpu',
            MILLRACE_WORKER_CACHE_DIR: join(folder, 'worker-cache'),
          },
          isReady: (log) => log.includes('worker ready'),
        }),
      );
    },
    async stop() {
      await bus.close();
      storage.close();
      await Promise.all(workers.map((worker) => worker.stop()));
      await Promise.all(started.map((service) => service.stop()));
      await Promise.all([nats.stop(), database.drop(), bucket.drop()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Sends files as parts of one upload; `prefer` is a header. */
export async function sendFiles(
  origin: string,
  fields: Readonly<Record<string, string>>,
  files: readonly { readonly path: string; readonly bytes: Uint8Array }[],
  prefer?: string,
): Promise<{ status: number; body: Record<string, unknown>; headers: Headers }> {
  const form = uploadForm(fields, undefined);
  for (const { path, bytes } of files)
    form.append('file', new Blob([bytes as Uint8Array<ArrayBuffer>]), path);
  const headers = prefer === undefined ? {} : { prefer };
  const response = await fetch(`${origin}/model/upload`, { method: 'POST', body: form, headers });
  const body = (await response.json()) as Record<string, unknown>;
  return { status: response.status, body, headers: response.headers };
}

/** An upload form; `file` is left out when undefined. */
export function uploadForm(fields: Readonly<Record<string, string>>, file: Uint8Array | undefined): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  if (file !== undefined) form.append('file', new Blob([file as Uint8Array<ArrayBuffer>]), 'model.onnx');
  return form;
}

/** Sends an upload and gives status and body. */
export async function upload(
  origin: string,
  fields: Readonly<Record<string, string>>,
  file: Uint8Array | undefined,
): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(`${origin}/model/upload`, { method: 'POST', body: uploadForm(fields, file) });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

/** GETs JSON and gives status and body. */
export async function getJson(url: string): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(url);
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

/** POSTs JSON and gives status and body. */
export async function postJson(
  url: string,
  body: unknown,
): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}
