import type { Auth, HttpApp, Logger, Metrics, ReadinessChecks } from '@millrace/service-kit';
import { createHttp } from '@millrace/service-kit';
import { batchRoutes } from './batch/batch.routes.ts';
import type { BatchService } from './batch/batch.service.ts';
import { createMemoryPool } from './http/memory-pool.ts';
import { modelRoutes } from './models/model.routes.ts';
import type { ServingReport } from './models/serving-report.ts';
import { predictionRoutes } from './predictions/prediction.routes.ts';
import type { PredictionService } from './predictions/prediction.service.ts';
import type { ServerControl } from './server/server-control.ts';
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
  /** The text of `/metrics` where it is not this process's own. */
  metricsText?: () => Promise<string>;
  bodyBytesMax: number;
};

/** A value in JSON takes at least two bytes (a digit and a comma), which bounds the elements of one input. */
const BYTES_PER_VALUE = 2;
/** Memory of past requests that is kept for the next ones (bytes). */
const POOL_BYTES_MAX = 32 * 1024 * 1024;

/** The HTTP side of inference; does not listen. */
export async function buildApp(deps: InferenceDeps): Promise<HttpApp> {
  const { logger, metrics, auth, readiness, bodyBytesMax } = deps;
  const app = await createHttp({
    service: 'inference',
    logger,
    metrics,
    auth,
    readiness,
    ...(deps.metricsText !== undefined && { metricsText: deps.metricsText }),
    openapi: {
      title: 'Millrace inference',
      description: 'Predictions of model versions that were verified.',
    },
  });
  const limits = {
    bodyBytesMax,
    elementsMax: Math.ceil(bodyBytesMax / BYTES_PER_VALUE),
    pool: createMemoryPool(POOL_BYTES_MAX),
  };
  await app.register(predictionRoutes(deps.predictions, limits));
  await app.register(protocolRoutes(deps.predictions, deps.control, { ...limits, isReady: readiness }), {
    prefix: '/v2',
  });
  await app.register(modelRoutes(deps.report));
  await app.register(batchRoutes(deps.batch));
  return app;
}
