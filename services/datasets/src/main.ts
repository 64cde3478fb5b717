import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { IngestJobEvents } from '@millrace/contracts';
import type { JobService } from '@millrace/jobs';
import { createJobService, startJobRuntime } from '@millrace/jobs';
import {
  connectPlatform,
  createLogger,
  createMetrics,
  listenHttp,
  loadConfig,
  runService,
  startTracing,
} from '@millrace/service-kit';
import { blobKey, createStorage } from '@millrace/storage';
import { buildApp } from './app.ts';
import { ConfigSchema } from './config.ts';
import { createDatasetRepository } from './datasets/dataset.repository.ts';
import { busTables, datasetTables, jobTables } from './schema.ts';
import type { RecipeDescriptor } from './versions/recipes.ts';
import { createGeneratorCatalog } from './versions/recipes.ts';
import { startVersionConsumer } from './versions/version.consumer.ts';
import { serveVersions } from './versions/version.rpc.ts';
import { createVersionService } from './versions/version.service.ts';

const SERVICE = 'datasets';

async function start() {
  const { config } = loadConfig(ConfigSchema, process.env);
  const logger = createLogger({ service: SERVICE, level: config.logLevel });
  const tracing = await startTracing({ service: SERVICE, endpoint: config.otlpEndpoint });
  const metrics = createMetrics({ service: SERVICE });
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

  const recipes = JSON.parse(readFileSync(new URL('../../../proto/recipes.json', import.meta.url), 'utf8'));
  const datasets = createDatasetRepository(datasetTables);
  const versions = createVersionService({
    database,
    datasets,
    outbox,
    generators: createGeneratorCatalog(recipes.recipes as RecipeDescriptor[]),
    jobs: () => jobs,
  });
  const jobs: JobService = createJobService({
    service: SERVICE,
    kind: 'ingest',
    events: IngestJobEvents,
    database,
    tables: jobTables,
    outbox,
    hooks: {
      onSucceeded: versions.onJobSucceeded,
      onFailed: versions.onJobFailed,
      onCancelled: (tx, job) =>
        versions.onJobFailed(tx, job, {
          code: 'job_cancelled',
          message: 'The job that makes this version was cancelled.',
        }),
    },
    hintCancel: (jobId) => bus.nc.publish(`millrace.ctl.job.${jobId}.cancel`),
  });
  const runtime = await startJobRuntime({
    bus,
    database,
    busTables,
    jobs,
    events: IngestJobEvents,
    pools: ['cpu'],
  });
  const consumer = startVersionConsumer({ bus, database, tables: busTables, versions, outbox });
  const rpc = serveVersions({ bus, database, datasets });

  const app = await buildApp({
    logger,
    metrics,
    auth: platform.auth,
    readiness: { ...platform.readiness, storage: () => storage.checkHealth() },
    database,
    datasets,
    versions,
    jobs,
    feed: runtime.feed,
    storeBlob: (file) => storage.putBlob(file),
    presign: (sha256) => storage.presignGet(blobKey(sha256)),
  });
  await listenHttp(app, { ...config, logger });
  return {
    async close() {
      await app.close();
      await Promise.all([consumer.stop(), rpc.stop(), runtime.stop()]);
      await platform.close();
      storage.close();
      await tracing.close();
    },
  };
}

await runService({ name: SERVICE, start });
