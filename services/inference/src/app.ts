import type { Auth, HttpApp, Logger, Metrics, ReadinessChecks } from '@millrace/service-kit';
import { createHttp } from '@millrace/service-kit';
import { batchRoutes } from './batch/batch.routes.ts';
import type { BatchService } from './batch/batch.service.ts';
import { createMemoryPool } from './http/memory-pool.ts';
import { modelRoutes } from './models/model.routes.ts';
import type { ServingReport } from './models/serving-report.ts';
import type { FeatureReader } from './predictions/feature-reader.ts';
import { createPredict, predictionExpress, predictionRoutes } from './predictions/prediction.routes.ts';
import type { PredictionService } from './predictions/prediction.service.ts';
import type { ServerControl } from './server/server-control.ts';
import { inferExpress } from './v2/infer.routes.ts';
import { createInfer } from './v2/infer.ts';
import { protocolRoutes } from './v2/protocol.routes.ts';

export type InferenceDeps = {
  logger: Logger;
  metrics: Metrics;
  auth: Auth;
  readiness: ReadinessChecks;
  predictions: PredictionService;
  control: ServerControl;
  report: ServingReport;
  batch: BatchService;
  /** Values of features for predictions that name entities. */
  readFeatures: FeatureReader;
  /** The text of `/metrics` where it is not this process's own. */
  metricsText?: () => Promise<string>;
  bodyBytesMax: number;
};

/** A value in JSON takes at least two bytes (a digit and a comma), which bounds the elements of one input. */
const BYTES_PER_VALUE = 2;
/** Memory of past requests that is kept for the next ones (bytes). */
const POOL_BYTES_MAX = 32 * 1024 * 1024;
const V2 = '/v2';

/** The HTTP side of inference; does not listen. */
export async function buildApp(deps: InferenceDeps): Promise<HttpApp> {
  const { logger, metrics, auth, readiness, bodyBytesMax } = deps;
  const limits = { bodyBytesMax, elementsMax: Math.ceil(bodyBytesMax / BYTES_PER_VALUE) };
  const pool = createMemoryPool(POOL_BYTES_MAX);
  const predict = createPredict(deps.predictions, limits, deps.readFeatures);
  const infer = createInfer(deps.predictions, limits);
  const express = { bodyBytesMax, lease: pool.lease, logger };
  const app = await createHttp({
    service: 'inference',
    logger,
    metrics,
    auth,
    readiness,
    express: [...inferExpress(infer, { ...express, prefix: V2 }), predictionExpress(predict, express)],
    ...(deps.metricsText !== undefined && { metricsText: deps.metricsText }),
    openapi: {
      title: 'Millrace inference',
      description: 'Predictions of model versions that were verified.',
    },
  });
  await app.register(predictionRoutes(predict, { bodyBytesMax, pool }));
  const protocol = { bodyBytesMax, pool, isReady: readiness };
  await app.register(protocolRoutes(infer, deps.predictions, deps.control, protocol), { prefix: V2 });
  await app.register(modelRoutes(deps.report));
  await app.register(batchRoutes(deps.batch));
  return app;
}
