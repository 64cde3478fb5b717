import type { Auth, Logger, Metrics, ReadinessChecks } from '@millrace/service-kit';
import { assertSafeBinding, ConfigError } from '@millrace/service-kit';
import { createMemoryPool } from '../http/memory-pool.ts';
import type { PredictionService } from '../predictions/prediction.service.ts';
import type { ServerControl } from '../server/server-control.ts';
import { controlMethods } from './control-methods.ts';
import { GRPCInferenceService } from './generated/inference/v2/grpc_inference_service_pb.ts';
import { healthMethods } from './health-methods.ts';
import { createInfer } from './infer/infer.ts';
import { rawTensorOffset } from './infer/infer-request.ts';
import { openInferStream } from './infer/infer-stream.ts';
import { pathOf } from './protobuf-method.ts';
import { reflectionMethods } from './reflection-method.ts';
import type { Method } from './transport/grpc-server.ts';
import { createGrpcServer } from './transport/grpc-server.ts';
import { createByteBudget } from './transport/message-reader.ts';

/** Messages of this many times the largest are held at once, those that wait for a model included. */
const MESSAGES_HELD = 4;
/** Memory of past requests that is kept for the next ones (bytes). */
const POOL_BYTES_MAX = 32 * 1024 * 1024;

export type GrpcDeps = {
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly auth: Auth;
  readonly readiness: ReadinessChecks;
  readonly predictions: PredictionService;
  readonly control: ServerControl;
  /** Largest message (bytes): the bound of the body of a prediction. */
  readonly bodyBytesMax: number;
  /** Largest outputs of a run (bytes). */
  readonly outputBytesMax: number;
};

export type GrpcListener = { readonly port: number; close(): Promise<void> };

/** Opens the gRPC port. Throws ConfigError when it is taken or would be open to other machines without keys. */
export async function startGrpc(
  deps: GrpcDeps,
  { host, port }: { host: string; port: number },
): Promise<GrpcListener> {
  const { auth, logger, metrics, readiness, predictions, control, bodyBytesMax } = deps;
  assertSafeBinding(host, auth.mode);
  const infer = createInfer(predictions);
  const health = healthMethods(readiness, bodyBytesMax);
  const inference: [string, Method][] = [
    [
      pathOf(GRPCInferenceService.method.modelInfer),
      { kind: 'unary', scope: 'predict', handle: (bytes, call) => infer(bytes, call, false) },
    ],
    [
      pathOf(GRPCInferenceService.method.modelStreamInfer),
      { kind: 'stream', scope: 'predict', open: (call) => openInferStream(infer, call, bodyBytesMax) },
    ],
  ];
  const methods = new Map([
    ...inference,
    ...controlMethods(predictions, control, readiness),
    ...health.methods,
    ...reflectionMethods(bodyBytesMax),
  ]);
  const server = createGrpcServer(methods, {
    service: 'inference',
    auth,
    logger,
    metrics,
    answerBytesMax: deps.outputBytesMax,
    limits: {
      messageBytesMax: bodyBytesMax,
      budget: createByteBudget(MESSAGES_HELD * bodyBytesMax),
      pool: createMemoryPool(POOL_BYTES_MAX),
      alignAt: rawTensorOffset,
    },
  });
  const open = await server.listen(host, port).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EADDRINUSE') throw error;
    throw new ConfigError([
      `MILLRACE_GRPC_PORT ${port} on ${host} is taken; choose another or stop what uses it.`,
    ]);
  });
  logger.info({ host, grpcPort: open }, 'gRPC listening');
  return {
    port: open,
    async close() {
      health.close();
      await server.close();
    },
  };
}
