import { fileURLToPath } from 'node:url';
import { serveReferencedDigests, serveTenantRecords } from '@millrace/bus';
import { TrainingJobEvents } from '@millrace/contracts';
import type { JobService } from '@millrace/jobs';
import { cancelHint, createJobService, jobRecords, startJobRuntime } from '@millrace/jobs';
import { publishedRecipes } from '@millrace/recipes';
import { connectPlatform, startService } from '@millrace/service-kit';
import { buildApp } from './app.ts';
import { ConfigSchema } from './config.ts';
import { startPipelineConsumers } from './pipelines/pipeline.consumer.ts';
import { createPipelineRepository } from './pipelines/pipeline.repository.ts';
import { createPipelineService } from './pipelines/pipeline.service.ts';
import { busTables, jobTables, pipelines as pipelineTable } from './schema.ts';

const migrationsFolder = fileURLToPath(new URL('../migrations', import.meta.url));

await startService({
  name: 'training-orchestrator',
  config: ConfigSchema,
  env: process.env,
  connect: (base) => connectPlatform({ ...base, schema: 'training', busTables, migrationsFolder }),
  async build({ service, config, logger, metrics, auth, readiness, database, bus, outbox }) {
    const recipes = publishedRecipes();
    const pipelineRows = createPipelineRepository(pipelineTable);
    const pipelines = createPipelineService({
      database,
      pipelines: pipelineRows,
      outbox,
      recipes,
      jobs: () => jobs,
      quotaOf: auth.quotaOf,
    });
    const events = TrainingJobEvents;
    const jobs: JobService = createJobService({
      service,
      kind: 'train',
      events,
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
          pipelines.onTrainingEnded(tx, job, {
            code: 'job_cancelled',
            message: 'The training was cancelled.',
          }),
      },
      // the conversion that follows finds a worker with its imports done
      onAlive: () => bus.nc.publish('millrace.ctl.warm.convert'),
      hintCancel: cancelHint(bus),
      quotaOf: auth.quotaOf,
    });
    const runtime = await startJobRuntime({
      bus,
      database,
      busTables,
      jobs,
      events,
      pools: ['cpu', 'gpu', 'torch'],
    });
    const digests = serveReferencedDigests({ bus, service, database, schema: 'training' });
    const ofJobs = jobRecords(database, jobTables, 'train');
    const records = serveTenantRecords(
      { bus, service },
      {
        owned: ofJobs.owned,
        async usage(tenant) {
          const { openJobs } = await ofJobs.usage(tenant);
          return {
            openJobs: { ...openJobs, pipeline: await pipelineRows.countRunning(database.db, tenant) },
          };
        },
      },
    );
    const consumers = startPipelineConsumers({ bus, database, tables: busTables, pipelines });
    const app = await buildApp({
      logger,
      metrics,
      auth,
      readiness,
      bus,
      database,
      jobs,
      recipes,
      pipelineRows,
      pipelines,
      feed: runtime.feed,
    });
    return {
      app,
      async close() {
        await Promise.all([
          ...consumers.map((consumer) => consumer.stop()),
          digests.stop(),
          records.stop(),
          runtime.stop(),
        ]);
      },
    };
  },
});
