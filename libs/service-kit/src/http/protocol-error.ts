import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ExpressReply } from '../express/reply-head.ts';
import type { Logger } from '../logger.ts';
import { retryAfterSeconds, toAppError } from './problem.ts';

/** An error as the Open Inference Protocol says it: `{"error": text}`, with our code beside it. Logs what is a fault of ours. */
export function protocolRefusal(
  raw: unknown,
  bytesMax: number,
  logger: Pick<Logger, 'error'>,
  url: string,
): ExpressReply {
  const error = toAppError(raw, bytesMax);
  if (error.code === 'internal') logger.error({ err: error.cause ?? error, url }, error.message);
  const headers = ['content-type', 'application/json'];
  const retryAfter = retryAfterSeconds(error);
  if (retryAfter !== undefined) headers.push('retry-after', String(retryAfter));
  if (error.code === 'auth_required') headers.push('www-authenticate', 'Bearer');
  const body = JSON.stringify({ error: error.message, code: error.code });
  return { status: error.status, headers, body };
}

/** Answers a request with an error as the Open Inference Protocol says it. */
export function answerProtocolError(
  raw: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  bytesMax: number,
): FastifyReply {
  const { status, headers, body } = protocolRefusal(raw, bytesMax, request.log, request.url);
  for (let i = 0; i < headers.length; i += 2) void reply.header(headers[i] as string, headers[i + 1]);
  return reply
    .code(status)
    .serializer((text: unknown) => text as string)
    .send(body);
}
