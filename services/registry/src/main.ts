import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { callRpc, serveRpc } from '@millrace/bus';
import { loadVersionMethod, resolveVersionMethod } from '@millrace/contracts';
import { createFileSigner } from '@millrace/integrity';
import { connectPlatform, startService } from '@millrace/service-kit';
import { storageOf } from '@millrace/storage';
import { buildApp } from './app.ts';
import { ConfigSchema } from './config.ts';
import { createEnsembleService } from './ensembles/ensemble.service.ts';
import { createChangeLog } from './history/change-log.ts';
import { startImportConsumers } from './imports/import.consumer.ts';
import { createImportRepository } from './imports/import.repository.ts';
import { createImportService } from './imports/import.service.ts';
import { createModelRepository } from './models/model.repository.ts';
import { startRegistrationConsumer } from './registration/registration.consumer.ts';
import { createRegistrationService } from './registration/registration.service.ts';
import type { SigningKey } from './registration/sign.ts';
import { createRolloutRepository } from './rollouts/rollout.repository.ts';
import { createRolloutService } from './rollouts/rollout.service.ts';
import { startRolloutMonitor } from './rollouts/rollout-monitor.ts';
import * as schema from './schema.ts';
import { createUploadService } from './uploads/upload.service.ts';
import { createWorkLimit } from './uploads/work-limit.ts';
import { createVersionRepository } from './versions/version.repository.ts';
import { createVersionService } from './versions/version.service.ts';

/** Uploads whose model is in memory at once, and those that may wait for that. */
const INSPECTIONS_AT_ONCE = 2;
const INSPECTIONS_WAITING_MAX = 256;
/** Loading and warming the largest model takes less. */
const WARM_UP_TIMEOUT_MS = 60_000;
/** A hint: workers import what a conversion needs while the upload is stored. */
const WARM_CONVERT_SUBJECT = 'millrace.ctl.warm.convert';

const { busTables } = schema;
const migrationsFolder = fileURLToPath(new URL('../migrations', import.meta.url));

function readKey(file: string): SigningKey {
  const pem = readFileSync(file, 'utf8');
  const publicKeyPem = createPublicKey(pem).export({ type: 'spki', format: 'pem' }).toString();
  return { signer: createFileSigner(pem), publicKeyPem };
}

await startService({
  name: 'registry',
  config: ConfigSchema,
  env: process.env,
  connect: (base) => connectPlatform({ ...base, schema: 'registry', busTables, migrationsFolder }),
  async build({ service, config, logger, metrics, auth, readiness, database, bus, outbox }) {
    const key = readKey(config.signingKeyFile);
    const { publicKeyPem } = key;
    const storage = storageOf(config);
    await storage.ensureBucket();
    const models = createModelRepository(schema);
    const repository = createVersionRepository(schema);
    const rollouts = createRolloutRepository(schema);
    const changeLog = createChangeLog(schema.changeLog);
    const warmUp = (modelVersionId: string) =>
      callRpc(
        bus,
        'inference',
        'load',
        loadVersionMethod,
        { modelVersionId },
        { timeoutMs: WARM_UP_TIMEOUT_MS },
      );
    const registrations = createRegistrationService({ models, versions: repository, changeLog, outbox });
    const versions = createVersionService({
      database,
      models,
      versions: repository,
      rollouts,
      changeLog,
      outbox,
      storage,
      publicKeyPem,
    });
    const rolloutService = createRolloutService({
      database,
      models,
      versions,
      versionRows: repository,
      rollouts,
      changeLog,
      outbox,
      warmUp,
      logger,
    });
    const monitor = startRolloutMonitor({
      bus,
      database,
      rollouts,
      service: rolloutService,
      metrics,
      logger,
    });
    const imports = createImportService({
      database,
      models,
      versions: repository,
      imports: createImportRepository(schema.imports),
      registrations,
      outbox,
    });
    const uploads = createUploadService({
      database,
      storage,
      key,
      registrations,
      versions,
      imports,
      announceConversion: () => bus.nc.publish(WARM_CONVERT_SUBJECT),
      limit: createWorkLimit(INSPECTIONS_AT_ONCE, INSPECTIONS_WAITING_MAX),
      warmUp,
      logger,
    });
    const ensembles = createEnsembleService({
      database,
      storage,
      key,
      registrations,
      versions,
      warmUp,
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
    const importConsumers = startImportConsumers({
      bus,
      database,
      tables: busTables,
      storage,
      key,
      imports,
    });
    const rpc = serveRpc(bus, service, 'resolve', resolveVersionMethod, (request) =>
      versions.resolve(request),
    );
    const app = await buildApp({
      logger,
      metrics,
      auth,
      readiness: { ...readiness, storage: () => storage.checkHealth() },
      database,
      models,
      repository,
      versions,
      storage,
      publicKeyPem,
      changeLog,
      uploads,
      imports,
      ensembles,
      rollouts,
      rolloutService,
      monitor,
    });
    return {
      app,
      async close() {
        await Promise.all([consumer.stop(), importConsumers.stop(), rpc.stop(), monitor.stop()]);
        storage.close();
      },
    };
  },
});
