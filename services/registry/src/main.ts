import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { callRpc, serveRpc } from '@millrace/bus';
import { loadVersionMethod, resolveVersionMethod } from '@millrace/contracts';
import { createFileSigner } from '@millrace/integrity';
import {
  connectPlatform,
  createLogger,
  createMetrics,
  listenHttp,
  loadConfig,
  runService,
  startTracing,
} from '@millrace/service-kit';
import { createStorage } from '@millrace/storage';
import { buildApp } from './app.ts';
import { ConfigSchema } from './config.ts';
import { createChangeLog } from './history/change-log.ts';
import { createModelRepository } from './models/model.repository.ts';
import { startRegistrationConsumer } from './registration/registration.consumer.ts';
import { createRegistrationService } from './registration/registration.service.ts';
import type { SigningKey } from './registration/sign.ts';
import * as schema from './schema.ts';
import { createUploadService } from './uploads/upload.service.ts';
import { createWorkLimit } from './uploads/work-limit.ts';
import { createVersionRepository } from './versions/version.repository.ts';
import { createVersionService } from './versions/version.service.ts';

const SERVICE = 'registry';
/** Uploads whose model is in memory at once, and those that may wait for that. */
const INSPECTIONS_AT_ONCE = 2;
const INSPECTIONS_WAITING_MAX = 256;
/** Loading and warming the largest model takes less. */
const WARM_UP_TIMEOUT_MS = 60_000;

function readKey(file: string): SigningKey {
  const pem = readFileSync(file, 'utf8');
  const publicKeyPem = createPublicKey(pem).export({ type: 'spki', format: 'pem' }).toString();
  return { signer: createFileSigner(pem), publicKeyPem };
}

async function start() {
  const { config } = loadConfig(ConfigSchema, process.env);
  const logger = createLogger({ service: SERVICE, level: config.logLevel });
  const tracing = await startTracing({ service: SERVICE, endpoint: config.otlpEndpoint });
  const metrics = createMetrics({ service: SERVICE });
  const key = readKey(config.signingKeyFile);
  const { busTables } = schema;
  const platform = await connectPlatform({
    service: SERVICE,
    schema: SERVICE,
    busTables,
    migrationsFolder: fileURLToPath(new URL('../migrations', import.meta.url)),
    logger,
    config,
  });
  const { database, bus, outbox } = platform;
  const storage = createStorage({
    endpoint: config.s3Endpoint,
    region: config.s3Region,
    bucket: config.s3Bucket,
    accessKeyId: config.s3AccessKeyId,
    secretAccessKey: config.s3SecretAccessKey,
  });
  await storage.ensureBucket();

  const { publicKeyPem } = key;
  const models = createModelRepository(schema);
  const repository = createVersionRepository(schema);
  const changeLog = createChangeLog(schema.changeLog);
  const registrations = createRegistrationService({ models, versions: repository, changeLog, outbox });
  const versions = createVersionService({
    database,
    models,
    versions: repository,
    changeLog,
    outbox,
    storage,
    publicKeyPem,
  });
  const uploads = createUploadService({
    database,
    storage,
    key,
    registrations,
    versions,
    limit: createWorkLimit(INSPECTIONS_AT_ONCE, INSPECTIONS_WAITING_MAX),
    warmUp: (modelVersionId) =>
      callRpc(
        bus,
        'inference',
        'load',
        loadVersionMethod,
        { modelVersionId },
        { timeoutMs: WARM_UP_TIMEOUT_MS },
      ),
    logger,
  });
  const consumer = startRegistrationConsumer({
    bus,
    database,
    tables: busTables,
    storage,
    key,
    registrations,
    outbox,
  });
  const rpc = serveRpc(bus, SERVICE, 'resolve', resolveVersionMethod, (request) => versions.resolve(request));

  const app = await buildApp({
    logger,
    metrics,
    auth: platform.auth,
    readiness: { ...platform.readiness, storage: () => storage.checkHealth() },
    database,
    models,
    repository,
    versions,
    storage,
    publicKeyPem,
    changeLog,
    uploads,
  });
  await listenHttp(app, { ...config, logger });
  return {
    async close() {
      await app.close();
      await Promise.all([consumer.stop(), rpc.stop()]);
      await platform.close();
      storage.close();
      await tracing.close();
    },
  };
}

await runService({ name: SERVICE, start });
