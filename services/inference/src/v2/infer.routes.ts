import { AppError } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Body } from '../http/body-reader.ts';
import { serverTiming } from '../http/server-timing.ts';
import type { PredictionService } from '../predictions/prediction.service.ts';
import { codingFor, compress, decodeBody } from './content-coding.ts';
import { readInferBody } from './infer-body.ts';
import type { InferReply } from './infer-reply.ts';
import { askedOutputs, wantedOutputs, writeReply } from './infer-reply.ts';
import { refuseOtherMethods } from './protocol-errors.ts';
import { Params, type Target, tags } from './protocol-paths.ts';

const HEADER_LENGTH = 'inference-header-content-length';

async function send(
  request: FastifyRequest,
  reply: FastifyReply,
  written: InferReply,
): Promise<FastifyReply> {
  if (written.jsonBytes !== undefined) void reply.header(HEADER_LENGTH, String(written.jsonBytes));
  void reply.type(written.contentType);
  const coding = codingFor(written, request.headers['accept-encoding'] as string | undefined);
  const zipped = coding === undefined ? undefined : await compress(written.body, coding);
  if (zipped === undefined) return reply.send(written.body);
  return reply.header('content-encoding', coding).header('vary', 'accept-encoding').send(zipped);
}

/** `POST …/infer`: JSON, JSON followed by binary tensors, or nothing but the bytes of one tensor. */
export function inferRoutes(
  service: PredictionService,
  limits: { bodyBytesMax: number; elementsMax: number },
): (app: HttpApp) => void {
  async function infer(request: FastifyRequest<Target>, reply: FastifyReply): Promise<FastifyReply> {
    const startedAt = performance.now();
    const { headers, params } = request;
    const { bytes, memory } = request.body as Body;
    const encoding = headers['content-encoding'];
    const body = encoding === undefined ? bytes : await decodeBody(bytes, encoding, limits.bodyBytesMax);
    const parts = readInferBody(body, headers[HEADER_LENGTH]);
    const { asked } = parts;
    const { userId, sessionId } = asked;
    const caller = { ...(userId !== undefined && { userId }), ...(sessionId !== undefined && { sessionId }) };
    const model = await service.model(params.model, params.version, { headers, ...caller });
    const inputs = parts.readTensors(model.served.signature, {
      elementsMax: limits.elementsMax,
      take: memory.take,
    });
    const outputs = wantedOutputs(model, asked);
    const { socket } = request.raw;
    const answer = await service.predict({
      model,
      inputs,
      startedAt,
      isGone: () => socket.destroyed,
      ...caller,
      ...(outputs !== undefined && { outputs }),
      ...(asked.deadlineMs !== undefined && { deadlineMs: asked.deadlineMs }),
      ...(asked.priority !== undefined && { priority: asked.priority }),
    });
    const answeredAt = performance.now();
    const written = writeReply(model.version, asked, askedOutputs(model, asked, answer.outputs));
    const serialiseMs = performance.now() - answeredAt;
    void reply.header('server-timing', serverTiming(answer, serialiseMs));
    return send(request, reply, written);
  }

  return (app) => {
    for (const path of ['/models/:model/infer', '/models/:model/versions/:version/infer']) {
      app.post<Target>(
        path,
        {
          config: { scope: 'predict' },
          bodyLimit: limits.bodyBytesMax,
          // the schema is documentation: the resolver checks the names
          validatorCompiler: () => () => true,
          schema: { tags, params: Params },
        },
        async (request, reply) => {
          const body = request.body as Body | undefined;
          if (body === undefined)
            throw new AppError('invalid_json', 'The body is empty; send a JSON object.');
          try {
            return await infer(request, reply);
          } finally {
            body.memory.release();
          }
        },
      );
      refuseOtherMethods(app, path, 'POST');
    }
  };
}
