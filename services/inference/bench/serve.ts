// Starts inference alone on real servers with the CNN fixture: node services/inference/bench/serve.ts
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectBus, ensureStreams } from '@millrace/bus';
import { generateKeyPair } from '@millrace/integrity';
import { createLogger } from '@millrace/service-kit';
import { createStorage } from '@millrace/storage';
import { startTestInfra, TEST_INFRA_VARIABLE } from '../../../libs/testing/src/test-infra.ts';
import { startServiceProcess } from '../../../libs/testing/src/test-process.ts';
import { startTestRegistry } from '../test/support/test-registry.ts';

const run = await startTestInfra();
process.env[TEST_INFRA_VARIABLE] = JSON.stringify(run.infra);
const { infra } = run;
const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
const logger = createLogger({ service: 'bench', level: 'warn' });
const bus = await connectBus({
  url: infra.nats.servicesUrl,
  name: 'bench',
  inboxPrefix: '_INBOX_services',
  logger,
});
await ensureStreams(bus);
const { endpoint, region, bucket, accessKeyId, secretAccessKey } = infra.s3;
const storage = createStorage({ endpoint, region, bucket, accessKeyId, secretAccessKey });
const registry = startTestRegistry(bus, storage);
for (const name of ['cnn', 'classifier']) {
  await registry.add(name, readFileSync(new URL(`../test/fixtures/${name}.onnx`, import.meta.url)));
}
const signing = join(folder, 'signing.pem');
const auth = join(folder, 'auth.pem');
writeFileSync(signing, registry.publicKeyPem);
writeFileSync(auth, generateKeyPair().publicKeyPem);
const service = await startServiceProcess('inference', {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith('MILLRACE_'))),
  NODE_OPTIONS: process.env.BENCH_NODE_OPTIONS ?? '',
  ...(process.env.MALLOC_ARENA_MAX ? { MALLOC_ARENA_MAX: process.env.MALLOC_ARENA_MAX } : {}),
  MILLRACE_DATABASE_URL: infra.database.url,
  MILLRACE_NATS_URL: infra.nats.servicesUrl,
  MILLRACE_S3_ENDPOINT: endpoint,
  MILLRACE_S3_BUCKET: bucket,
  MILLRACE_S3_ACCESS_KEY_ID: accessKeyId,
  MILLRACE_S3_SECRET_ACCESS_KEY: secretAccessKey,
  MILLRACE_AUTH_MODE: 'local',
  MILLRACE_AUTH_PUBLIC_KEY_FILE: auth,
  MILLRACE_SIGNING_PUBLIC_KEY_FILE: signing,
  MILLRACE_CACHE_DIR: join(folder, 'cache'),
  MILLRACE_PORT: '18081',
});
console.log(`inference ${service.origin} pid ${service.pid}`);
process.on('SIGTERM', async () => {
  await service.stop();
  await registry.stop();
  await bus.close();
  storage.close();
  await run.stop();
  process.exit(0);
});
