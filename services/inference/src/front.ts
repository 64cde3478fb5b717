import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bus } from '@millrace/bus';
import { callRpc } from '@millrace/bus';
import type { LoadVersionReply, ServedTensor } from '@millrace/contracts';
import { AppError, resolveVersionMethod } from '@millrace/contracts';
import type { Auth, Logger, Metrics } from '@millrace/service-kit';
import { listenHttp } from '@millrace/service-kit';
import { buildApp } from './app.ts';
import type { BatchService } from './batch/batch.service.ts';
import type { RunChunk } from './batch/chunk/chunk-order.ts';
import { createChunkRunner } from './batch/chunk/run-chunk.ts';
import { createResponseCache } from './cache/response-cache.ts';
import type { InferenceConfig } from './config.ts';
import type { EngineOptions } from './engine/served-model.ts';
import { startEngine } from './engine/start-engine.ts';
import type { GrpcListener } from './grpc/start-grpc.ts';
import { createModelStore } from './models/model-store.ts';
import { servedNameOf } from './models/served-name.ts';
import type { ServingReport } from './models/serving-report.ts';
import { createLocalReport } from './models/serving-report.ts';
import type { VersionRecall } from './models/version-resolver.ts';
import { createVersionResolver } from './models/version-resolver.ts';
import { watchVersions } from './models/version-watch.ts';
import { openBusDoors } from './nats/open-bus-doors.ts';
import type { Door } from './nats/rpc-door.ts';
import type { PackageCache } from './packages/package-cache.ts';
import { countRottenFiles, createRefusalReporter } from './packages/refusal-reporter.ts';
import { createFeatureReader } from './predictions/feature-reader.ts';
import { createPredictionService } from './predictions/prediction.service.ts';
import { createPredictionMetrics } from './predictions/prediction-metrics.ts';
import { startRollouts } from './rollouts/start-rollouts.ts';
import { createLocalControl } from './server/local-control.ts';
import type { ServerControl } from './server/server-control.ts';
import { addTritonMetrics } from './server/triton-metrics.ts';
import { createWithdrawals } from './server/withdrawals.ts';
import { createJetStreamPublish } from './telemetry/jetstream-publish.ts';
import { createPredictionPublisher } from './telemetry/prediction-publisher.ts';
import { createSpillFolder } from './telemetry/spill-folder.ts';
import type { TensorSpec } from './tensors/tensor.ts';

/** Predictions that still wait at shutdown get this long to reach NATS (ms). */
const FLUSH_TIMEOUT_MS = 5_000;

const toldOf = (tensors: readonly TensorSpec[]): ServedTensor[] =>
  tensors.map(({ name, dtype, shape }) => ({ name, dtype, shape: [...shape] }));

/** What speaks for the server: this process alone, or all that share its port. */
export type ServerFace = {
  control: ServerControl;
  report: ServingReport;
  metricsText?: () => Promise<string>;
};

export type FrontOptions = {
  config: InferenceConfig;
  logger: Logger;
  metrics: Metrics;
  bus: Bus;
  auth: Auth;
  cache: PackageCache;
  /** Batch jobs, which the process with the database keeps. */
  batch: BatchService;
  /** Whether the service around this front is there; it is when absent. */
  isStarted?: () => boolean;
  /** Where figures of a graph come from when this process does not measure itself. */
  probe?: EngineOptions['probe'];
  /** Replaces what this process would say of itself. */
  face?: ServerFace;
  /** What other processes of the server remember of a name, for while the registry is away. */
  recall?: VersionRecall;
};

/** Where a front answers; `grpc` is `host:port`. */
export type Addresses = { origin: string; grpc: string };

/** A process that answers requests: HTTP, gRPC, models in memory, telemetry. It needs NATS, and neither Postgres nor S3. */
export type Front = {
  /** This process's own part of what the server says and does. */
  readonly own: { control: ServerControl; report: ServingReport };
  /** Verifies, loads and warms a version by its id. Throws what the resolver and the store throw. */
  load(modelVersionId: string): Promise<LoadVersionReply>;
  /** Predicts a chunk of a batch job, behind every request. */
  runChunk: RunChunk;
  /** The version that a name stood for when the registry was last there; null when this process does not know. */
  remembered: VersionRecall;
  listen(): Promise<Addresses>;
  /** Answers what is open, frees the models and sends the telemetry that waits. */
  close(): Promise<void>;
};

/** The first front answers while the rest of the service starts; who shares out load waits until all is there. */
function assertStarted(isStarted: FrontOptions['isStarted']): void {
  if (isStarted?.() === false)
    throw new AppError('dependency_unavailable', 'The service is starting; try again.');
}

/** Makes a front; it does not listen yet. */
export async function createFront(options: FrontOptions): Promise<Front> {
  const { config, logger, metrics, bus } = options;
  const engine = startEngine(config, (message, fields) => logger.warn(fields, message));
  const store = createModelStore({
    cache: options.cache,
    engine: options.probe === undefined ? engine : { ...engine, probe: options.probe },
    publicKeyPem: readFileSync(config.signingPublicKeyFile, 'utf8'),
    modelsMax: config.loadedModelsMax,
    bytesMax: Math.ceil(config.loadedBytesMax / engine.fronts),
    resolve: (model, version) => resolver.resolve(model, version),
    onRottenFile: countRottenFiles(metrics),
    onFailure: createRefusalReporter(bus, metrics),
  });
  const resolver = createVersionResolver(
    (request) => callRpc(bus, 'registry', 'resolve', resolveVersionMethod, request),
    options.recall,
  );
  const publisher = createPredictionPublisher(
    createJetStreamPublish(bus),
    {
      predictionsMax: Math.ceil(config.telemetryPredictionsMax / engine.fronts),
      bytesMax: Math.ceil(config.telemetryBytesMax / engine.fronts),
      perSecondMax: Math.ceil(config.telemetryPerSecondMax / engine.fronts),
      inputsPerSecondMax: Math.ceil(config.telemetryInputsPerSecondMax / engine.fronts),
    },
    (error) => logger.warn({ err: error }, 'Predictions wait for NATS.'),
    createSpillFolder(join(config.cacheDir, 'telemetry'), logger),
  );
  if (config.tritonMetrics) addTritonMetrics(metrics, store);
  const withdrawals = createWithdrawals();
  const { rowsMax, deadlineMs, bodyBytesMax, outputBytesMax } = config;
  const rollouts = startRollouts({ bus, metrics, resolver, store, withdrawals, rowsMax });
  const cache = createResponseCache(metrics, {
    bytesMax: Math.ceil(config.responseCacheBytesMax / engine.fronts),
    waitingMax: engine.limits.requestsMax,
    fronts: engine.fronts,
  });
  const predictions = createPredictionService({
    resolver,
    store,
    withdrawals,
    publisher,
    metrics: createPredictionMetrics(metrics, store, publisher),
    rollouts,
    cache,
    rowsMax,
    deadlineMs,
  });
  const own = {
    control: createLocalControl({ resolver, store, withdrawals, predictions, cache, rowsMax }),
    report: createLocalReport(store, publisher),
  };
  const watch = watchVersions(bus, resolver, (id) => void store.unload(id));
  const doors = {
    logger,
    metrics,
    auth: options.auth,
    // serving needs neither Postgres nor S3 once a model is loaded, so their absence does not take it out of rotation
    readiness: { nats: () => bus.ping(), start: async () => assertStarted(options.isStarted) },
    predictions,
    bodyBytesMax,
    outputBytesMax,
    batch: options.batch,
    readFeatures: createFeatureReader(bus),
    ...own,
    ...options.face,
  };
  const app = await buildApp(doors);
  let grpc: GrpcListener | undefined;
  let busDoors: Door | undefined;
  return {
    own,
    async load(modelVersionId) {
      const version = await resolver.byId(modelVersionId);
      const { loadMs, served } = await store.load(version, { isRetried: true });
      // remembered before the first request, which the registry may not be there for
      await resolver.resolve(servedNameOf(version), undefined).catch(() => undefined);
      return {
        modelVersionId,
        loadMs,
        warmUpMs: served.measurement.warmUpMs,
        inputs: toldOf(served.signature.inputs),
        outputs: toldOf(served.signature.outputs),
      };
    },
    runChunk: createChunkRunner({ resolver, store, withdrawals }),
    remembered: async (model, version) => resolver.remembered(model, version),
    async listen() {
      const { origin, host } = await listenHttp(app, { ...config, logger });
      // a tenth of the code of a front, which no request over HTTP waits for
      const { startGrpc } = await import('./grpc/start-grpc.ts');
      grpc = await startGrpc(doors, { host, port: config.grpcPort });
      busDoors = openBusDoors(
        { bus, logger, metrics, predictions, loaded: store.list },
        config,
        engine.fronts,
      );
      return { origin, grpc: `${new URL(origin).hostname}:${grpc.port}` };
    },
    async close() {
      await Promise.all([app.close(), grpc?.close(), busDoors?.close()]);
      watch.stop();
      cache.stop();
      rollouts.stop();
      await store.close();
      const left = await publisher.close(FLUSH_TIMEOUT_MS);
      if (left > 0)
        logger.error({ predictions: left }, 'Predictions were lost: neither NATS nor the disk took them.');
    },
  };
}
