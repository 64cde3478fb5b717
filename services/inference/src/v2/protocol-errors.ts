import { AppError } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import { answerProtocolError } from '@millrace/service-kit';
import type { FastifyReply, FastifyRequest, HTTPMethods } from 'fastify';

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;

/** Answers errors of all routes as the protocol does. */
export function answerErrors(app: HttpApp, bytesMax: number): void {
  const answer = (raw: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply =>
    answerProtocolError(raw, request, reply, bytesMax);
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
