import { fileURLToPath } from 'node:url';
import {
  connectPlatform,
  createLogger,
  createMetrics,
  listenHttp,
  loadConfig,
  runService,
  startTracing,
} from '@millrace/service-kit';
import { buildApp } from './app.ts';
import { MonitoringConfig } from './config.ts';
import { createDriftRepository } from './drift/drift.repository.ts';
import { createDriftService } from './drift/drift.service.ts';
import { startDriftWatch } from './drift/drift-watch.ts';
import { createPartitions } from './predictions/partitions.ts';
import { startPredictionConsumer } from './predictions/prediction.consumer.ts';
import { startRetention } from './predictions/retention.ts';
import { busTables } from './schema.ts';
import { startStageConsumers } from './stages/stage.consumer.ts';

const SERVICE = 'monitoring';

async function start() {
  const { config } = loadConfig(MonitoringConfig, process.env);
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
  const { bus, database, auth, readiness, outbox } = platform;
  const partitions = createPartitions(database);
  const days = {
    predictions: config.retentionDays,
    minutes: config.rollupMinuteDays,
    hours: config.rollupHourDays,
    days: config.rollupDayDays,
  };
  const retention = startRetention({ database, partitions, days, logger });
  const stages = startStageConsumers({ bus, database, tables: busTables });
  const consumer = startPredictionConsumer({ bus, database, partitions, logger, metrics });
  const drift = startDriftWatch({
    database,
    outbox,
    drift: createDriftService(createDriftRepository(database)),
    logger,
    windowMs: config.driftWindowMinutes * 60_000,
  });
  const app = await buildApp({
    logger,
    metrics,
    auth,
    readiness,
    database,
    unmatchedAfterHours: config.unmatchedAfterHours,
    retention: days,
  });
  await listenHttp(app, { ...config, logger });
  return {
    async close() {
      await app.close();
      await Promise.all([consumer, ...stages].map((one) => one.stop()));
      await drift.stop();
      await retention.stop();
      await platform.close();
      await tracing.close();
    },
  };
}

await runService({ name: SERVICE, start });
