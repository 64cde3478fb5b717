import type { Span } from '@opentelemetry/api';
import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Metrics } from '../metrics.ts';
import type { Series } from '../series.ts';

const spans = new WeakMap<FastifyRequest, Span>();

/** Counts one request; seconds from its first byte to the end of its answer. */
export type ObserveRequest = (method: string, route: string, status: number, seconds: number) => void;

/**
 * Measures each request by route, method and status, and puts it into a trace that continues the caller's. Returns what
 * counts a request that came another way.
 */
export function addTelemetry(app: FastifyInstance, metrics: Metrics, service: string): ObserveRequest {
  const seconds = metrics.series({
    name: 'http_request_seconds',
    help: 'Time from the first byte of a request to the end of its answer.',
    labels: ['method', 'route', 'status'],
  });
  const held = new Map<string, Series>();
  const observe: ObserveRequest = (method, route, status, time) => {
    const key = `${method} ${status} ${route}`;
    const series = held.get(key) ?? seconds({ method, route, status });
    held.set(key, series);
    series.observe(time);
  };
  const tracer = trace.getTracer(`millrace.${service}`);

  app.addHook('onRequest', (request, _reply, done) => {
    const parent = propagation.extract(context.active(), request.headers);
    const route = request.routeOptions.url ?? 'unknown';
    const span = tracer.startSpan(
      `${request.method} ${route}`,
      { kind: SpanKind.SERVER, attributes: { 'http.request.method': request.method, 'http.route': route } },
      parent,
    );
    if (span.isRecording()) spans.set(request, span);
    context.with(trace.setSpan(parent, span), done);
  });
  app.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'unknown';
    observe(request.method, route, reply.statusCode, reply.elapsedTime / 1000);
    endSpan(request, reply.statusCode);
    done();
  });
  app.addHook('onRequestAbort', (request, done) => {
    endSpan(request, 499);
    done();
  });
  return observe;
}

function endSpan(request: FastifyRequest, status: number): void {
  const span = spans.get(request);
  if (span === undefined) return;
  spans.delete(request);
  span.setAttribute('http.response.status_code', status);
  if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
  span.end();
}
