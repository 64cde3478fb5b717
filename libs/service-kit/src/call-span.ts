import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';

/** Runs a call that did not come over HTTP in a span that continues the trace of its caller's metadata. */
export function inCallSpan<T>(
  about: { service: string; method: string; metadata: object },
  run: () => Promise<T>,
): Promise<T> {
  const parent = propagation.extract(context.active(), about.metadata);
  const span = trace
    .getTracer(`millrace.${about.service}`)
    .startSpan(about.method, { kind: SpanKind.SERVER, attributes: { 'rpc.method': about.method } }, parent);
  // without tracing a call costs no further promise
  if (!span.isRecording()) return run();
  return context
    .with(trace.setSpan(parent, span), run)
    .catch((error: unknown) => {
      span.setStatus({ code: SpanStatusCode.ERROR });
      throw error;
    })
    .finally(() => span.end());
}
