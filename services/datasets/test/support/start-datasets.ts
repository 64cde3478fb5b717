import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Pull } from '@millrace/bus';
import { connectBus, createOutbox, createOutboxRelay, ensureStreams } from '@millrace/bus';
import { IngestJobEvents } from '@millrace/contracts';
import { createDatabase, migrate } from '@millrace/database';
import type { JobService } from '@millrace/jobs';
import { createJobService, startJobRuntime } from '@millrace/jobs';
import { createRecipeCatalog } from '@millrace/recipes';
import type { HttpApp } from '@millrace/service-kit';
import { createAuth, createKeySetHolder, createLogger, createMetrics } from '@millrace/service-kit';
import { blobKey, createStorage } from '@millrace/storage';
import { createTestBucket, createTestDatabase, startNats } from '@millrace/testing';
import { createPartUploadRepository } from '@millrace/uploads';
import { buildApp } from '../../src/app.ts';
import { createDatasetRepository } from '../../src/datasets/dataset.repository.ts';
import { createVersionCsv } from '../../src/exports/version-csv.ts';
import { openFeatures } from '../../src/features/open-features.ts';
import { createIngestService } from '../../src/ingestions/ingest.service.ts';
import {
  busTables,
  datasetTables,
  featureTables,
  jobTables,
  partUploads,
  versionTrainings,
} from '../../src/schema.ts';
import { startTrainingConsumers } from '../../src/trainings/training.consumer.ts';
import { createTrainingRepository } from '../../src/trainings/training.repository.ts';
import { createDatasetUploadService } from '../../src/uploads/dataset-upload.service.ts';
import type { DatasetUploadRow } from '../../src/uploads/dataset-upload.table.ts';
import { startVersionConsumer } from '../../src/versions/version.consumer.ts';
import { serveVersions } from '../../src/versions/version.rpc.ts';
import { createVersionService } from '../../src/versions/version.service.ts';

const recipes = createRecipeCatalog([
  {
    name: 'counting',
    version: '1',
    title: 'Counts.',
    framework: 'tensorflow',
    pool: 'cpu',
    params: { type: 'object' },
    defaults: {},
    dataset: {
      generator: 'numbers',
      version: '1',
      defaults: { seed: 1 },
      params: {
        type: 'object',
        properties: { seed: { type: 'integer', minimum: 0, maximum: 9, default: 1 } },
        additionalProperties: false,
      },
    },
  },
]);

/** Long, so that only news of writes can tell a replica of them. */
const FEATURE_CACHE_MS = 60_000;
const FEATURE_CACHE_BYTES = 16 * 1024 * 1024;

/** The datasets service in this process, on servers and a recipe of its own; `stop` it. */
export async function startDatasets({ featureCacheMs = FEATURE_CACHE_MS } = {}) {
  const nats = await startNats();
  const testDatabase = await createTestDatabase();
  const bucket = await createTestBucket();
  const folder = fileURLToPath(new URL('../../migrations', import.meta.url));
  await migrate({ url: testDatabase.url, schema: 'datasets', folder });
  const database = createDatabase({ url: testDatabase.url, applicationName: 'datasets-test' });
  const logger = createLogger({ service: 'datasets', level: 'fatal' });
  const bus = await connectBus({
    url: nats.servicesUrl,
    name: 'datasets-test',
    inboxPrefix: '_INBOX_services',
    logger,
  });
  await ensureStreams(bus);
  const outbox = createOutbox(busTables, 'datasets');
  const relay = createOutboxRelay({ database, tables: busTables, bus, schema: 'datasets' });
  relay.start();
  const storage = createStorage(bucket);
  const datasets = createDatasetRepository(datasetTables);
  const versions = createVersionService({ database, datasets, outbox, recipes, jobs: () => jobs });
  const ingestions = createIngestService({
    database,
    datasets,
    jobs: () => jobs,
    assertRoom: async () => undefined,
  });
  const uploads = createDatasetUploadService({
    database,
    rows: createPartUploadRepository<DatasetUploadRow>(partUploads),
    table: partUploads,
    storage,
    versions,
    logger,
  });
  const trainings = createTrainingRepository(versionTrainings);
  const jobs: JobService = createJobService({
    service: 'datasets',
    kind: 'ingest',
    events: IngestJobEvents,
    database,
    tables: jobTables,
    outbox,
    hooks: { onSucceeded: versions.onJobSucceeded, onFailed: versions.onJobFailed },
  });
  const runtime = await startJobRuntime({
    bus,
    database,
    busTables,
    jobs,
    events: IngestJobEvents,
    pools: ['cpu', 'analysis'],
  });
  const consumer: Pull = startVersionConsumer({ bus, database, tables: busTables, versions, outbox });
  const lineage = startTrainingConsumers({ bus, database, tables: busTables, trainings });
  const rpc = serveVersions({ bus, database, datasets });
  const csvOf = createVersionCsv((sha256) => storage.getBlob(sha256));
  const storeBlob = (file: Readable) => storage.putBlob(file);
  const openReplica = () =>
    openFeatures({
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
      cacheAgeMs: featureCacheMs,
      cacheBytesMax: FEATURE_CACHE_BYTES,
    });
  const features = openReplica();
  const app: HttpApp = await buildApp({
    ...features,
    logger,
    metrics: createMetrics({ service: 'datasets' }),
    auth: createAuth({ mode: 'local', keySet: createKeySetHolder(), logger }),
    readiness: {},
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
  await app.listen({ host: '127.0.0.1', port: 0 });
  const address = app.server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    bus,
    database,
    jobs,
    storage,
    features,
    /** Another process of the feature store, as far as it can tell; `stop` it first. */
    openReplica,
    port,
    origin: `http://127.0.0.1:${port}`,
    async stop() {
      uploads.stop();
      await app.close();
      await Promise.all([
        features.stop(),
        consumer.stop(),
        ...lineage.map((one) => one.stop()),
        rpc.stop(),
        runtime.stop(),
      ]);
      await relay.stop();
      await bus.close();
      await database.close();
      storage.close();
      await testDatabase.drop();
      await bucket.drop();
      await nats.stop();
    },
  };
}
