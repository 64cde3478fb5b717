import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ownerOf, serveReferencedDigests, serveRpc, serveTenantRecords, startConsumer } from '@millrace/bus';
import { loadVersionMethod, ModelVersionRegistered } from '@millrace/contracts';
import type { Running } from '@millrace/service-kit';
import {
  connectPlatform,
  createLogger,
  createMetrics,
  loadConfig,
  startTracing,
} from '@millrace/service-kit';
import { createStorage } from '@millrace/storage';
import type { RunChunk } from './batch/chunk/chunk-order.ts';
import { openBatch } from './batch/open-batch.ts';
import { InferenceConfig } from './config.ts';
import { frontsFor, usableCores } from './engine/cpu-count.ts';
import { createFigureShelf } from './engine/figure-shelf.ts';
import { startEngine } from './engine/start-engine.ts';
import type { Addresses } from './front.ts';
import type { FrontProcess } from './fronts/front-process.ts';
import type { LoadVersion } from './models/model.service.ts';
import { createModelService } from './models/model.service.ts';
import { createPackageCache } from './packages/package-cache.ts';
import { busTables } from './schema.ts';

const SERVICE = 'inference';

/** What answers requests: this process, or fronts under its supervision. */
type Serving = Addresses & {
  load: LoadVersion;
  runChunk: RunChunk;
  /** Where the fronts wait for the rest of the service. */
  started?(): Promise<void>;
  close(): Promise<void>;
};

/**
 * The composition root: configuration, clients, fronts, consumers, shutdown. This process owns the database, the node
 * cache and the model events; it answers requests itself only when there is to be one process. `firstFront` is a front
 * that was started ahead.
 */
export async function startInference(
  env: NodeJS.ProcessEnv,
  firstFront?: FrontProcess,
): Promise<Running & Addresses> {
  const { config } = loadConfig(InferenceConfig, env);
  const logger = createLogger({ service: SERVICE, level: config.logLevel });
  const tracing = await startTracing({ service: SERVICE, endpoint: config.otlpEndpoint });
  const metrics = createMetrics({ service: SERVICE, loopLookMs: 10 });
  const storage = createStorage({
    endpoint: config.s3Endpoint,
    publicEndpoint: config.s3PublicEndpoint,
    region: config.s3Region,
    bucket: config.s3Bucket,
    accessKeyId: config.s3AccessKeyId,
    secretAccessKey: config.s3SecretAccessKey,
  });
  const cache = createPackageCache({ folder: config.cacheDir, bytesMax: config.cacheBytesMax, storage });
  const connecting = connectPlatform({
    service: SERVICE,
    schema: SERVICE,
    busTables,
    migrationsFolder: fileURLToPath(new URL('../migrations', import.meta.url)),
    logger,
    config,
  });
  const opening = connecting.then((platform) =>
    openBatch(platform, { storage, logger, cacheDir: config.cacheDir }),
  );
  const fronts = frontsFor(config.fronts, usableCores());

  async function serve(): Promise<Serving> {
    // each way loads only the code that its process needs
    if (fronts > 1) {
      const { startSupervisor } = await import('./fronts/supervisor.ts');
      const engine = startEngine(config, (message, fields) => logger.warn(fields, message));
      const figures = createFigureShelf(join(config.cacheDir, 'figures'));
      const batch = opening.then(({ service }) => service);
      // said once, by those who wait for `opening`
      batch.catch(() => undefined);
      return startSupervisor({
        fronts,
        ...(firstFront !== undefined && { first: firstFront }),
        logger,
        metrics,
        cache,
        engine,
        figures,
        batch,
        modelsMax: config.loadedModelsMax,
      });
    }
    const { createFront } = await import('./front.ts');
    const { bus, auth } = await connecting;
    const batch = (await opening).service;
    const front = await createFront({ config, logger, metrics, bus, auth, cache, batch });
    const { load, runChunk, close } = front;
    return { ...(await front.listen()), load, runChunk, close };
  }

  const [platform, batch, serving] = await Promise.all([connecting, opening, serve()]);
  const { bus, database, outbox } = platform;
  const models = createModelService({ load: serving.load, outbox });
  const consumer = startConsumer(
    { bus, database, tables: busTables },
    {
      event: ModelVersionRegistered,
      durable: 'inference-model-version-registered',
      prepare: (event) => models.prepare(event),
      apply: (tx, event, outcome, info) => models.announce(tx, event, outcome, { tenant: ownerOf(info) }),
    },
  );
  const batchRunner = await batch.start(serving.runChunk, fronts);
  const digests = serveReferencedDigests({ bus, service: SERVICE, database, schema: SERVICE });
  const records = serveTenantRecords(
    { bus, service: SERVICE },
    {
      // files of batch jobs are results, which nothing is made of
      owned: async () => [],
      usage: async (tenant) => ({ openJobs: { batch: await batch.countOpen(tenant) } }),
    },
  );
  const rpc = serveRpc(bus, SERVICE, 'load', loadVersionMethod, ({ modelVersionId }) =>
    serving.load(modelVersionId),
  );
  await serving.started?.();
  return {
    origin: serving.origin,
    grpc: serving.grpc,
    async close() {
      await Promise.all([consumer.stop(), rpc.stop(), digests.stop(), records.stop()]);
      // chunks in hand end with the fronts and are given back
      await Promise.all([serving.close(), batchRunner.stop()]);
      await platform.close();
      storage.close();
      await tracing.close();
    },
  };
}
