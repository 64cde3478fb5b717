import { promisify } from 'node:util';
import { gunzip, inflate } from 'node:zlib';
import { AppError, isAppError } from '@millrace/contracts';
import type { HttpApp, ReadinessChecks } from '@millrace/service-kit';
import { retryAfterSeconds, toAppError } from '@millrace/service-kit';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import Type from 'typebox';
import type { Body } from '../http/body-reader.ts';
import { takeBodiesAsBytes } from '../http/body-reader.ts';
import type { MemoryPool } from '../http/memory-pool.ts';
import type { LoadedModel } from '../models/model-store.ts';
import type { PredictionService } from '../predictions/prediction.service.ts';
import { protocolName } from '../tensors/dtype.ts';
import type { TensorSpec } from '../tensors/tensor.ts';
import { writeReply } from './infer-reply.ts';
import type { InferRequest } from './infer-request.ts';
import { readInferRequest } from './infer-request.ts';
import { readRawTensor, readTensors } from './infer-tensors.ts';

const HEADER_LENGTH = 'inference-header-content-length';
const unzip = { gzip: promisify(gunzip), deflate: promisify(inflate) };
type Target = { Params: { model: string; version?: string } };

const Params = Type.Object({
  model: Type.String({ minLength: 1, maxLength: 255 }),
  version: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
});

export type ProtocolLimits = {
  bodyBytesMax: number;
  elementsMax: number;
  pool: MemoryPool;
  isReady: ReadinessChecks;
};

async function plainBody(request: FastifyRequest, bytesMax: number): Promise<Buffer> {
  const body = (request.body as Body).bytes;
  const encoding = request.headers['content-encoding'];
  if (encoding === undefined || encoding === 'identity') return body;
  if (encoding !== 'gzip' && encoding !== 'deflate') {
    throw new AppError('unsupported_media_type', 'Content-Encoding must be gzip or deflate.');
  }
  try {
    return await unzip[encoding](body, { maxOutputLength: bytesMax });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
      throw new AppError('payload_too_large', `The body inflates to more than ${bytesMax} bytes.`);
    }
    throw new AppError('invalid_request', `The body is not valid ${encoding}.`, { cause });
  }
}

/** Length of the JSON in front of binary tensors: all of the body without the header. */
function jsonLength(request: FastifyRequest, body: Buffer): number {
  const text = request.headers[HEADER_LENGTH];
  if (text === undefined) return body.length;
  const length = Number(text);
  if (typeof text === 'string' && /^\d{1,15}$/.test(text) && length <= body.length) return length;
  throw new AppError(
    'invalid_request',
    'Inference-Header-Content-Length must be at most the length of the body.',
  );
}

function wantedOutputs(model: LoadedModel, request: InferRequest): string[] | undefined {
  const known = model.served.signature.outputs.map(({ name }) => name);
  const unknown = request.outputs?.find(({ name }) => !known.includes(name));
  if (unknown !== undefined) {
    throw new AppError(
      'invalid_request',
      `The model has no output "${unknown.name}"; it gives ${known.join(', ')}.`,
    );
  }
  return request.outputs?.map(({ name }) => name);
}

/** What `ready` answers for a version that cannot be loaded; one that is unknown or not to be served stays so. */
function notReady(error: unknown): unknown {
  if (!isAppError(error) || error.status < 405) return error;
  return new AppError('model_not_ready', `The version is not ready: ${error.message}`, { cause: error });
}

function describe(spec: TensorSpec): object {
  return { name: spec.name, datatype: protocolName(spec.dtype), shape: spec.shape.map((size) => size ?? -1) };
}

async function answerError(
  raw: unknown,
  _request: FastifyRequest,
  reply: FastifyReply,
  bytesMax: number,
): Promise<FastifyReply> {
  const error = toAppError(raw, bytesMax);
  const retryAfter = retryAfterSeconds(error);
  if (retryAfter !== undefined) void reply.header('retry-after', String(retryAfter));
  return reply
    .code(error.status)
    .type('application/json')
    .send(JSON.stringify({ error: error.message, code: error.code }));
}

/** Open Inference Protocol v2 over HTTP: metadata, readiness and inference with JSON and binary tensors. */
export function protocolRoutes(
  service: PredictionService,
  limits: ProtocolLimits,
): (app: HttpApp) => Promise<void> {
  async function infer(request: FastifyRequest<Target>, reply: FastifyReply): Promise<FastifyReply> {
    const startedAt = performance.now();
    const body = await plainBody(request, limits.bodyBytesMax);
    const length = jsonLength(request, body);
    const isRaw = request.headers[HEADER_LENGTH] !== undefined && length === 0;
    const json = body.subarray(0, length);
    const asked: InferRequest = isRaw ? { inputs: [], isBinaryOutput: true } : readInferRequest(json);
    const model = await service.model(request.params.model, request.params.version);
    const { signature } = model.served;
    const reading = { elementsMax: limits.elementsMax, take: (request.body as Body).memory.take };
    const inputs = isRaw
      ? readRawTensor(signature, body)
      : readTensors(asked, signature, json, body.subarray(length), reading);
    const outputs = wantedOutputs(model, asked);
    const answer = await service.predict({
      model,
      inputs,
      startedAt,
      ...(outputs !== undefined && { outputs }),
      ...(asked.deadlineMs !== undefined && { deadlineMs: asked.deadlineMs }),
    });
    const written = writeReply(model.version, asked, answer.outputs);
    if (written.jsonBytes !== undefined) void reply.header(HEADER_LENGTH, String(written.jsonBytes));
    return reply.type(written.contentType).send(written.body);
  }

  return async (app) => {
    app.setErrorHandler((error, request, reply) => answerError(error, request, reply, limits.bodyBytesMax));
    takeBodiesAsBytes(app as unknown as FastifyInstance, '*', limits.bodyBytesMax, limits.pool);
    const tags = ['open inference protocol'];
    const open = { config: { public: true as const }, schema: { tags } };
    app.get('/', { config: { scope: 'models:read' }, schema: { tags } }, async () => ({
      name: 'millrace',
      version: '0.0.0',
      extensions: ['binary_tensor_data'],
    }));
    app.get('/health/live', open, async () => ({ live: true }));
    app.get('/health/ready', open, async (_request, reply) => {
      const checks = await Promise.allSettled(Object.values(limits.isReady).map((check) => check()));
      const ready = checks.every(({ status }) => status === 'fulfilled');
      return reply.code(ready ? 200 : 503).send({ ready });
    });
    for (const path of ['/models/:model', '/models/:model/versions/:version']) {
      const read = { config: { scope: 'models:read' as const }, schema: { tags, params: Params } };
      app.get<Target>(path, read, async (request) => {
        const { version, served } = await service.model(request.params.model, request.params.version);
        const { inputs, outputs } = served.signature;
        return {
          name: version.model,
          versions: [String(version.ordinal)],
          platform: 'onnxruntime_onnx',
          inputs: inputs.map(describe),
          outputs: outputs.map(describe),
        };
      });
      app.get<Target>(`${path}/ready`, read, async (request) => {
        const { version } = await service
          .model(request.params.model, request.params.version)
          .catch((error: unknown) => {
            throw notReady(error);
          });
        return { name: version.model, ready: true };
      });
      app.post<Target>(
        `${path}/infer`,
        { config: { scope: 'predict' }, bodyLimit: limits.bodyBytesMax, schema: { tags, params: Params } },
        async (request, reply) => {
          try {
            return await infer(request, reply);
          } finally {
            (request.body as Body | null)?.memory.release();
          }
        },
      );
    }
  };
}
