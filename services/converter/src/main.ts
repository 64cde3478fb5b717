import { fileURLToPath } from 'node:url';
import { ConversionJobEvents } from '@millrace/contracts';
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
import { createStorage } from '@millrace/storage';
import { buildApp } from './app.ts';
import { ConfigSchema } from './config.ts';
import { startConversionConsumers } from './conversions/conversion.consumer.ts';
import { busTables, jobTables } from './schema.ts';

const SERVICE = 'converter';

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
  const hintCancel = (jobId: string): void => bus.nc.publish(`millrace.ctl.job.${jobId}.cancel`);
  const events = ConversionJobEvents;
  const jobs = createJobService({
    service: SERVICE,
    kind: 'convert',
    events,
    database,
    tables: jobTables,
    outbox,
    hintCancel,
  });
  const runtime = await startJobRuntime({ bus, database, busTables, jobs, events, pools: ['cpu'] });
  const consumers = startConversionConsumers({ bus, database, tables: busTables, jobs, hintCancel });

  const app = await buildApp({
    logger,
    metrics,
    auth: platform.auth,
    readiness: { ...platform.readiness, storage: () => storage.checkHealth() },
    jobs,
    database,
    feed: runtime.feed,
    hasBlob: (sha256) => storage.hasBlob(sha256),
  });
  await listenHttp(app, { ...config, logger });
  return {
    async close() {
      await app.close();
      await consumers.stop();
      await runtime.stop();
      await platform.close();
      storage.close();
      await tracing.close();
    },
  };
}

await runService({ name: SERVICE, start });
