import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { serveReferencedDigests, serveTenantRecords } from '@millrace/bus';
import { IngestJobEvents } from '@millrace/contracts';
import type { JobService } from '@millrace/jobs';
import { cancelHint, createJobService, jobRecords, startJobRuntime } from '@millrace/jobs';
import { publishedRecipes } from '@millrace/recipes';
import { connectPlatform, startService } from '@millrace/service-kit';
import { blobKey, storageOf } from '@millrace/storage';
import { createPartUploadRepository } from '@millrace/uploads';
import { buildApp } from './app.ts';
import { ConfigSchema } from './config.ts';
import { createDatasetRepository } from './datasets/dataset.repository.ts';
import { createVersionCsv } from './exports/version-csv.ts';
import { openFeatures } from './features/open-features.ts';
import { createIngestService } from './ingestions/ingest.service.ts';
import {
  busTables,
  datasetTables,
  featureTables,
  jobTables,
  partUploads,
  versionTrainings,
} from './schema.ts';
import { startTrainingConsumers } from './trainings/training.consumer.ts';
import { createTrainingRepository } from './trainings/training.repository.ts';
import { createDatasetUploadService } from './uploads/dataset-upload.service.ts';
import type { DatasetUploadRow } from './uploads/dataset-upload.table.ts';
import { startVersionConsumer } from './versions/version.consumer.ts';
import { serveDatasets, serveVersions } from './versions/version.rpc.ts';
import { createVersionService } from './versions/version.service.ts';

const migrationsFolder = fileURLToPath(new URL('../migrations', import.meta.url));

await startService({
  name: 'datasets',
  config: ConfigSchema,
  env: process.env,
  connect: (base) => connectPlatform({ ...base, schema: 'datasets', busTables, migrationsFolder }),
  async build({ service, config, logger, metrics, auth, readiness, database, bus, outbox }) {
    const storage = storageOf(config);
    await storage.ensureBucket();
    const datasets = createDatasetRepository(datasetTables);
    const versions = createVersionService({
      database,
      datasets,
      outbox,
      recipes: publishedRecipes(),
      jobs: () => jobs,
      quotaOf: auth.quotaOf,
    });
    const uploads = createDatasetUploadService({
      database,
      rows: createPartUploadRepository<DatasetUploadRow>(partUploads),
      table: partUploads,
      storage,
      versions,
      logger,
    });
    const ingestions = createIngestService({
      database,
      datasets,
      jobs: () => jobs,
      assertRoom: (tx, tenant) => versions.assertRoom(tx, tenant, 1),
    });
    const trainings = createTrainingRepository(versionTrainings);
    const events = IngestJobEvents;
    const jobs: JobService = createJobService({
      service,
      kind: 'ingest',
      events,
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
      hintCancel: cancelHint(bus),
    });
    const runtime = await startJobRuntime({
      bus,
      database,
      busTables,
      jobs,
      events,
      pools: ['cpu', 'torch', 'analysis'],
    });
    const consumer = startVersionConsumer({ bus, database, tables: busTables, versions, outbox });
    const lineage = startTrainingConsumers({ bus, database, tables: busTables, trainings });
    const rpc = serveVersions({ bus, database, datasets });
    const finding = serveDatasets({ bus, database, datasets });
    const digests = serveReferencedDigests({ bus, service, database, schema: 'datasets' });
    const ofJobs = jobRecords(database, jobTables, 'ingest');
    const records = serveTenantRecords(
      { bus, service },
      {
        async owned(tenant, digests) {
          const made = await datasets.owned(database.db, tenant, digests);
          return [...new Set([...made, ...(await ofJobs.owned(tenant, digests))])];
        },
        usage: async (tenant) => ({
          ...(await ofJobs.usage(tenant)),
          datasetBytes: await datasets.bytesOf(database.db, tenant),
        }),
      },
    );
    const csvOf = createVersionCsv((sha256) => storage.getBlob(sha256));
    const storeBlob = (file: Readable) => storage.putBlob(file);
    const features = openFeatures({
      bus,
      database,
      outbox,
      busTables,
      tables: featureTables,
      datasets,
      versions,
      csvOf,
      storeBlob,
      logger,
      cacheAgeMs: config.featureCacheMs,
      cacheBytesMax: config.featureCacheBytes,
    });
    const app = await buildApp({
      ...features,
      logger,
      metrics,
      auth,
      readiness: { ...readiness, storage: () => storage.checkHealth() },
      database,
      datasets,
      versions,
      uploads,
      ingestions,
      trainings,
      jobs,
      feed: runtime.feed,
      storeBlob,
      csvOf,
      readBlob: (sha256, maxBytes) => storage.getBlobBuffer(sha256, { maxBytes }),
      presign: (sha256) => storage.presignGet(blobKey(sha256)),
    });
    return {
      app,
      async close() {
        uploads.stop();
        await Promise.all([
          features.stop(),
          consumer.stop(),
          ...lineage.map((one) => one.stop()),
          rpc.stop(),
          finding.stop(),
          digests.stop(),
          records.stop(),
          runtime.stop(),
        ]);
        storage.close();
      },
    };
  },
});
