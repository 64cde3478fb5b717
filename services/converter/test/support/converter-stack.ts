import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Bus } from '@millrace/bus';
import { connectBus } from '@millrace/bus';
import type { ArtifactRef, JobView } from '@millrace/contracts';
import { environmentsRoot } from '@millrace/embedded';
import { generateKeyPair } from '@millrace/integrity';
import type { Storage } from '@millrace/storage';
import { createStorage } from '@millrace/storage';
import type { ServiceProcess, TestDatabase, TestProcess } from '@millrace/testing';
import {
  createTestBucket,
  createTestDatabase,
  eventually,
  startNats,
  startServiceProcess,
  startTestProcess,
} from '@millrace/testing';

const ROOT = fileURLToPath(new URL('../../../..', import.meta.url));
const FIXTURES = join(ROOT, 'services/conversion-worker/tests/fixtures');
const quiet = {
  warn: () => undefined,
  info: () => undefined,
  error: () => undefined,
  debug: () => undefined,
};
export const JOB_TIMEOUT_MS = 60_000;

export type ConverterStack = {
  readonly database: TestDatabase;
  readonly storage: Storage;
  readonly bus: Bus;
  readonly converter: ServiceProcess;
  readonly worker: TestProcess;
  /** Stores the files of a fixture folder of the conversion worker and gives their refs. */
  source(name: string): Promise<{ files: ArtifactRef[] }>;
  post(
    path: string,
    body: unknown,
    extra?: Record<string, string>,
  ): Promise<{ status: number; body: JobView & { code?: string; message?: string } }>;
  job(id: string): Promise<JobView>;
  /** The job once it has ended. */
  ended(id: string): Promise<JobView>;
  stop(): Promise<void>;
};

/** A converter and a conversion worker, each a process, on servers of their own. */
export async function startConverterStack(): Promise<ConverterStack> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-converter-test-'));
  const [nats, database, bucket] = await Promise.all([startNats(), createTestDatabase(), createTestBucket()]);
  const storage = createStorage(bucket);
  const bus = await connectBus({
    url: nats.servicesUrl,
    name: 'test',
    inboxPrefix: '_INBOX_services',
    logger: quiet,
  });
  const keyFile = join(folder, 'gateway.pub.pem');
  writeFileSync(keyFile, generateKeyPair().publicKeyPem);
  const s3 = {
    MILLRACE_S3_ENDPOINT: bucket.endpoint,
    MILLRACE_S3_REGION: bucket.region,
    MILLRACE_S3_BUCKET: bucket.bucket,
    MILLRACE_S3_ACCESS_KEY_ID: bucket.accessKeyId,
    MILLRACE_S3_SECRET_ACCESS_KEY: bucket.secretAccessKey,
  };
  const converter = await startServiceProcess('converter', {
    ...s3,
    MILLRACE_DATABASE_URL: database.url,
    MILLRACE_NATS_URL: nats.servicesUrl,
    MILLRACE_AUTH_MODE: 'local',
    MILLRACE_AUTH_PUBLIC_KEY_FILE: keyFile,
  });
  const worker = await startTestProcess({
    name: 'conversion-worker',
    command: join(environmentsRoot(process.env), 'conversion/bin/python'),
    args: ['-m', 'millrace_conversion.worker'],
    env: {
      ...s3,
      PYTHONPATH: [join(ROOT, 'libs/worker-py/src'), join(ROOT, 'services/conversion-worker/src')].join(':'),
      MILLRACE_NATS_URL: nats.workerUrl,
      MILLRACE_NATS_INBOX_PREFIX: '_INBOX_worker',
      MILLRACE_WORKER_POOL: 'cpu',
      MILLRACE_WORKER_CACHE_DIR: join(folder, 'cache'),
    },
    isReady: (log) => log.includes('worker ready'),
  });
  const job = async (id: string): Promise<JobView> =>
    (await (await fetch(`${converter.origin}/v1/conversions/${id}`)).json()) as JobView;
  return {
    database,
    storage,
    bus,
    converter,
    worker,
    async source(name) {
      const root = join(FIXTURES, name);
      const paths = readdirSync(root, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
      const files = await Promise.all(
        paths.map(async (path) => ({ path, ...(await storage.putBlob(readFileSync(join(root, path)))) })),
      );
      return { files };
    },
    async post(path, body, extra = {}) {
      const response = await fetch(`${converter.origin}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...extra },
        body: JSON.stringify(body),
      });
      return { status: response.status, body: (await response.json()) as JobView & { code?: string } };
    },
    job,
    ended: (id) =>
      eventually(
        async () => {
          const view = await job(id);
          if (view.finishedAt === null) throw new Error(`still ${view.state}: ${view.status}`);
          return view;
        },
        { timeoutMs: JOB_TIMEOUT_MS, intervalMs: 100 },
      ),
    async stop() {
      await worker.stop();
      await converter.stop();
      await bus.close();
      storage.close();
      await Promise.all([nats.stop(), database.drop(), bucket.drop()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
