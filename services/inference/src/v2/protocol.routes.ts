import type { ExpressReply, HttpApp, ReadinessChecks } from '@millrace/service-kit';
import type { FastifyInstance } from 'fastify';
import { takeBodiesAsBytes } from '../http/body-reader.ts';
import type { MemoryPool } from '../http/memory-pool.ts';
import type { PredictionService } from '../predictions/prediction.service.ts';
import type { ServerControl } from '../server/server-control.ts';
import { inferRoutes } from './infer.routes.ts';
import type { InferCall } from './infer.ts';
import { metadataRoutes } from './metadata.routes.ts';
import { answerErrors } from './protocol-errors.ts';
import { repositoryRoutes } from './repository.routes.ts';

export type ProtocolLimits = {
  bodyBytesMax: number;
  pool: MemoryPool;
  isReady: ReadinessChecks;
};

/** Open Inference Protocol v2 over HTTP, with the extensions that `GET /v2` names. */
export function protocolRoutes(
  infer: (call: InferCall) => Promise<ExpressReply>,
  service: PredictionService,
  control: ServerControl,
  limits: ProtocolLimits,
): (app: HttpApp) => Promise<void> {
  return async (app) => {
    answerErrors(app, limits.bodyBytesMax);
    await app.register(repositoryRoutes(control, limits.pool));
    await app.register(async (inner: HttpApp) => {
      takeBodiesAsBytes(inner as unknown as FastifyInstance, '*', limits.bodyBytesMax, limits.pool);
      inferRoutes(infer, limits.bodyBytesMax)(inner);
      metadataRoutes(service, control, limits.isReady)(inner);
    });
  };
}
