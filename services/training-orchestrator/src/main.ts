import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { TrainingJobEvents } from '@millrace/contracts';
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
import { buildApp } from './app.ts';
import { ConfigSchema } from './config.ts';
import type { RecipeDescriptor } from './jobs/recipe-catalog.ts';
import { createRecipeCatalog } from './jobs/recipe-catalog.ts';
import { startPipelineConsumers } from './pipelines/pipeline.consumer.ts';
import { createPipelineRepository } from './pipelines/pipeline.repository.ts';
import { createPipelineService } from './pipelines/pipeline.service.ts';
import { busTables, jobTables, pipelines as pipelineTable } from './schema.ts';

const SERVICE = 'training-orchestrator';

async function start() {
  const { config } = loadConfig(ConfigSchema, process.env);
  const logger = createLogger({ service: SERVICE, level: config.logLevel });
  const tracing = await startTracing({ service: SERVICE, endpoint: config.otlpEndpoint });
  const metrics = createMetrics({ service: SERVICE });
  const platform = await connectPlatform({
    service: SERVICE,
    schema: 'training',
    busTables,
    migrationsFolder: fileURLToPath(new URL('../migrations', import.meta.url)),
    logger,
    config,
  });
  const { database, bus, outbox } = platform;

  const { recipes: descriptors } = JSON.parse(
    readFileSync(new URL('../../../proto/recipes.json', import.meta.url), 'utf8'),
  ) as { recipes: RecipeDescriptor[] };
  const recipes = createRecipeCatalog(descriptors);
  const pipelineRows = createPipelineRepository(pipelineTable);
  const pipelines = createPipelineService({
    database,
    pipelines: pipelineRows,
    outbox,
    recipes,
    jobs: () => jobs,
  });
  const jobs: JobService = createJobService({
    service: SERVICE,
    kind: 'train',
    events: TrainingJobEvents,
    database,
    tables: jobTables,
    outbox,
    settings: {
      leaseMs: config.jobLeaseMs,
      heartbeatMs: Math.floor(config.jobLeaseMs / 3),
      stallTimeoutMs: config.jobStallTimeoutMs,
    },
    hooks: {
      onSucceeded: pipelines.onTrained,
      onFailed: pipelines.onTrainingEnded,
      onCancelled: (tx, job) =>
        pipelines.onTrainingEnded(tx, job, { code: 'job_cancelled', message: 'The training was cancelled.' }),
    },
    // the conversion that follows finds a worker with its imports done
    onAlive: () => bus.nc.publish('millrace.ctl.warm.convert'),
    hintCancel: (jobId) => bus.nc.publish(`millrace.ctl.job.${jobId}.cancel`),
  });
  const runtime = await startJobRuntime({
    bus,
    database,
    busTables,
    jobs,
    events: TrainingJobEvents,
    pools: ['cpu', 'gpu'],
  });
  const consumers = startPipelineConsumers({ bus, database, tables: busTables, pipelines });

  const app = await buildApp({
    logger,
    metrics,
    auth: platform.auth,
    readiness: platform.readiness,
    bus,
    database,
    jobs,
    recipes,
    pipelineRows,
    pipelines,
    feed: runtime.feed,
  });
  await listenHttp(app, { ...config, logger });
  return {
    async close() {
      await app.close();
      await Promise.all([...consumers.map((consumer) => consumer.stop()), runtime.stop()]);
      await platform.close();
      await tracing.close();
    },
  };
}

await runService({ name: SERVICE, start });
