import { AppError } from '@millrace/contracts';
import type { ExpressReply, HttpApp, Logger } from '@millrace/service-kit';
import { retryAfterSeconds, toAppError } from '@millrace/service-kit';
import type { FastifyReply, FastifyRequest, HTTPMethods } from 'fastify';

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;

/** An error as the protocol says it: `{"error": text}`, with our code beside it. Logs what is a fault of ours. */
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

/** Answers errors of all routes as the protocol does. */
export function answerErrors(app: HttpApp, bytesMax: number): void {
  const answer = (raw: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const { status, headers, body } = protocolRefusal(raw, bytesMax, request.log, request.url);
    for (let i = 0; i < headers.length; i += 2) void reply.header(headers[i] as string, headers[i + 1]);
    return reply.code(status).send(body);
  };
  app.setErrorHandler(answer);
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0];
    return answer(
      new AppError('route_not_found', `The protocol has no ${request.method} ${path} here.`),
      request,
      reply,
    );
  });
}

/** Answers any other method on a path of the protocol with 405 and the methods there are. */
export function refuseOtherMethods(app: HttpApp, url: string, method: 'GET' | 'POST'): void {
  const allowed: readonly HTTPMethods[] = method === 'GET' ? ['GET', 'HEAD'] : ['POST'];
  app.route({
    method: METHODS.filter((other) => !allowed.includes(other)),
    url,
    config: { public: true },
    schema: { hide: true } as never,
    onRequest(request, reply, done) {
      void reply.header('allow', allowed.join(', '));
      done(new AppError('method_not_allowed', `${request.method} is not possible here; use ${method}.`));
    },
    handler: () => undefined,
  });
}
