import { AppError } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import { retryAfterSeconds, toAppError } from '@millrace/service-kit';
import type { FastifyReply, FastifyRequest, HTTPMethods } from 'fastify';

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;

/** Answers errors as the protocol does: `{"error": text}`, with our code beside it. */
export function answerErrors(app: HttpApp, bytesMax: number): void {
  const answer = (raw: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const error = toAppError(raw, bytesMax);
    if (error.code === 'internal')
      request.log.error({ err: error.cause ?? error, url: request.url }, error.message);
    const retryAfter = retryAfterSeconds(error);
    if (retryAfter !== undefined) void reply.header('retry-after', String(retryAfter));
    if (error.code === 'auth_required') void reply.header('www-authenticate', 'Bearer');
    return reply
      .code(error.status)
      .type('application/json')
      .send(JSON.stringify({ error: error.message, code: error.code }));
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
