import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bus } from '@millrace/bus';
import { connectBus } from '@millrace/bus';
import { generateKeyPair } from '@millrace/integrity';
import type { Storage } from '@millrace/storage';
import { createStorage } from '@millrace/storage';
import type { ServiceProcess } from '@millrace/testing';
import { createTestBucket, createTestDatabase, startNats, startServiceProcess } from '@millrace/testing';

/** The registry, and inference if asked for, as processes on servers of one test file. */
export type RegistryStack = {
  readonly registry: ServiceProcess;
  readonly inference: ServiceProcess | undefined;
  readonly storage: Storage;
  readonly bus: Bus;
  readonly databaseUrl: string;
  readonly publicKeyPem: string;
  /** Starts one more process of a service on the same servers. */
  startReplica(name: 'registry' | 'inference'): Promise<ServiceProcess>;
  stop(): Promise<void>;
};

const quiet = {
  warn: () => undefined,
  info: () => undefined,
  error: () => undefined,
  debug: () => undefined,
};

/** Starts the services; everything they need is theirs alone. */
export async function startRegistryStack(options: { withInference: boolean }): Promise<RegistryStack> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-registry-test-'));
  const [nats, database, bucket] = await Promise.all([startNats(), createTestDatabase(), createTestBucket()]);
  const keys = generateKeyPair();
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
    MILLRACE_AUTH_PUBLIC_KEY_FILE: file('gateway.pub.pem', generateKeyPair().publicKeyPem),
    MILLRACE_SIGNING_PUBLIC_KEY_FILE: file('registry.pub.pem', keys.publicKeyPem),
  };
  const started: ServiceProcess[] = [];
  async function start(name: 'registry' | 'inference'): Promise<ServiceProcess> {
    const own =
      name === 'registry'
        ? { MILLRACE_SIGNING_KEY_FILE: file('registry.pem', keys.privateKeyPem) }
        : { MILLRACE_CACHE_DIR: join(folder, `cache-${started.length}`) };
    const service = await startServiceProcess(name, { ...env, ...own, MILLRACE_FRONTS: '2' });
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
    startReplica: start,
    async stop() {
      await bus.close();
      storage.close();
      await Promise.all(started.map((service) => service.stop()));
      await Promise.all([nats.stop(), database.drop(), bucket.drop()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
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
