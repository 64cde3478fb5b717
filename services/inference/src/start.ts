import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { callRpc, serveRpc, startConsumer } from '@millrace/bus';
import { loadVersionMethod, ModelVersionRegistered, resolveVersionMethod } from '@millrace/contracts';
import type { Running } from '@millrace/service-kit';
import {
  connectPlatform,
  createLogger,
  createMetrics,
  listenHttp,
  loadConfig,
  startTracing,
} from '@millrace/service-kit';
import { createStorage } from '@millrace/storage';
import { buildApp } from './app.ts';
import { InferenceConfig } from './config.ts';
import { startEngine } from './engine/start-engine.ts';
import { createModelService } from './models/model.service.ts';
import type { ModelStore } from './models/model-store.ts';
import { createModelStore } from './models/model-store.ts';
import { createVersionResolver } from './models/version-resolver.ts';
import { watchVersions } from './models/version-watch.ts';
import { createPackageCache } from './packages/package-cache.ts';
import { createPredictionService } from './predictions/prediction.service.ts';
import { createPredictionMetrics } from './predictions/prediction-metrics.ts';
import { busTables } from './schema.ts';
import { createJetStreamPublish } from './telemetry/jetstream-publish.ts';
import { createPredictionPublisher } from './telemetry/prediction-publisher.ts';

const SERVICE = 'inference';
/** Predictions that still wait at shutdown get this long to reach NATS (ms). */
const FLUSH_TIMEOUT_MS = 5_000;

/** The composition root: configuration, clients, rules, routes, consumers, shutdown. */
export async function startInference(env: NodeJS.ProcessEnv): Promise<Running & { origin: string }> {
  const { config } = loadConfig(InferenceConfig, env);
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
  const { bus, database, outbox } = platform;
  const storage = createStorage({
    endpoint: config.s3Endpoint,
    region: config.s3Region,
    bucket: config.s3Bucket,
    accessKeyId: config.s3AccessKeyId,
    secretAccessKey: config.s3SecretAccessKey,
  });
  const store: ModelStore = createModelStore({
    cache: createPackageCache({ folder: config.cacheDir, bytesMax: config.cacheBytesMax, storage }),
    engine: startEngine(config, (message, fields) => logger.warn(fields, message)),
    publicKeyPem: readFileSync(config.signingPublicKeyFile, 'utf8'),
    modelsMax: config.loadedModelsMax,
    bytesMax: config.loadedBytesMax,
  });
  const resolver = createVersionResolver((request) =>
    callRpc(bus, 'registry', 'resolve', resolveVersionMethod, request),
  );
  const publisher = createPredictionPublisher(
    createJetStreamPublish(bus),
    { predictionsMax: config.telemetryPredictionsMax, bytesMax: config.telemetryBytesMax },
    (error) => logger.warn({ err: error }, 'Predictions wait for NATS.'),
  );
  const models = createModelService({ resolver, store, outbox });
  const predictions = createPredictionService({
    resolver,
    store,
    publisher,
    metrics: createPredictionMetrics(metrics, store, publisher),
    rowsMax: config.rowsMax,
    deadlineMs: config.deadlineMs,
  });
  const watch = watchVersions(bus, resolver, (id) => void store.unload(id));
  const consumer = startConsumer(
    { bus, database, tables: busTables },
    {
      event: ModelVersionRegistered,
      durable: 'inference-model-version-registered',
      prepare: (event) => models.prepare(event),
      apply: (tx, event, outcome) => models.announce(tx, event, outcome),
    },
  );
  const rpc = serveRpc(bus, SERVICE, 'load', loadVersionMethod, ({ modelVersionId }) =>
    models.load(modelVersionId),
  );

  const app = await buildApp({
    logger,
    metrics,
    auth: platform.auth,
    // serving needs neither Postgres nor S3 once a model is loaded, so their absence does not take it out of rotation
    readiness: { nats: () => bus.ping() },
    predictions,
    store,
    publisher,
    bodyBytesMax: config.bodyBytesMax,
  });
  const { origin } = await listenHttp(app, { ...config, logger });
  return {
    origin,
    async close() {
      await app.close();
      watch.stop();
      await Promise.all([consumer.stop(), rpc.stop()]);
      await store.close();
      const left = await publisher.close(FLUSH_TIMEOUT_MS);
      if (left > 0) logger.error({ predictions: left }, 'Predictions were lost: NATS is away at shutdown.');
      await platform.close();
      storage.close();
      await tracing.close();
    },
  };
}
