import type { IncomingMessage } from 'node:http';
import type { HttpApp } from '@millrace/service-kit';
import { answerMlflowError, answerProtocolError } from '@millrace/service-kit';
import type { FastifyReply, FastifyRequest, RouteShorthandOptions } from 'fastify';
import type { Forwarder, ForwardTarget } from './forward.ts';
import { responseHeaders } from './headers.ts';
import type { BodyClass, ProxyRoute } from './route-table.ts';
import { proxyRoutes } from './route-table.ts';
import type { Upstreams } from './upstream.ts';

/** Largest JSON body of a route that takes neither files nor tensors, in bytes. */
const SMALL_BYTES_MAX = 4 * 1024 * 1024;
/** Longest silence before an answer begins, by class. An upload is answered only when the model is warm. */
const ANSWER_TIMEOUT_MS: Readonly<Record<BodyClass, number>> = {
  small: 30_000,
  predict: 30_000,
  upload: 300_000,
};

export type BodyBounds = { readonly uploadBytesMax: number; readonly predictBytesMax: number };

/** Every path that another service answers. Bodies flow through in both directions and are never parsed here. */
export function proxyPaths(deps: {
  upstreams: Upstreams;
  forwarder: Forwarder;
  bounds: BodyBounds;
}): (app: HttpApp) => Promise<void> {
  const bodyBytesMax: Record<BodyClass, number> = {
    small: SMALL_BYTES_MAX,
    predict: deps.bounds.predictBytesMax,
    upload: deps.bounds.uploadBytesMax,
  };
  return async function registerProxyPaths(app) {
    const eventStreams = new Set<IncomingMessage>();
    // An event stream has no end of its own to wait for.
    app.addHook('preClose', (done) => {
      for (const stream of eventStreams) stream.destroy();
      done();
    });
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('*', (_request, _payload, done) => done(null));
    for (const route of proxyRoutes) {
      const target: ForwardTarget = {
        service: route.service,
        origin: deps.upstreams[route.service],
        bodyBytesMax: bodyBytesMax[route.body],
        answerTimeoutMs: ANSWER_TIMEOUT_MS[route.body],
      };
      app.route({
        method: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
        url: route.path,
        config: { authenticated: true, ...(route.basicAuth === true ? { basicAuth: true } : {}) },
        schema: { hide: true } as never,
        ...errorHandlerOf(route, target),
        handler: async (request, reply) =>
          await pass(request, reply, target, { forwarder: deps.forwarder, eventStreams }),
      });
    }
  };
}

/** What answers the gateway's own refusals of a route; ours, problem+json, where it says nothing. */
function errorHandlerOf(
  { errors }: ProxyRoute,
  { bodyBytesMax }: ForwardTarget,
): Pick<RouteShorthandOptions, 'errorHandler'> {
  if (errors === 'mlflow')
    return { errorHandler: (error, request, reply) => void answerMlflowError(error, request, reply) };
  if (errors === 'protocol')
    return {
      errorHandler: (error, request, reply) => void answerProtocolError(error, request, reply, bodyBytesMax),
    };
  return {};
}

async function pass(
  request: FastifyRequest,
  reply: FastifyReply,
  target: ForwardTarget,
  open: { forwarder: Forwarder; eventStreams: Set<IncomingMessage> },
): Promise<FastifyReply> {
  const answer = await open.forwarder.forward(request.raw, request.id, target);
  if (answer.headers['content-type']?.startsWith('text/event-stream')) {
    open.eventStreams.add(answer);
    answer.once('close', () => open.eventStreams.delete(answer));
  }
  // The client may go away while the answer flows; the service should then stop.
  reply.raw.once('close', () => {
    if (!answer.complete) answer.destroy();
  });
  return reply
    .code(answer.statusCode ?? 502)
    .headers(responseHeaders(answer.headers))
    .send(answer);
}
