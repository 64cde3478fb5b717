import { context, propagation, trace } from '@opentelemetry/api';

/** Spans that wait to be sent; more are dropped, never held back. */
const SPAN_QUEUE_MAX = 2_048;
/** A batch is sent at latest after this time. */
const SPAN_DELAY_MS = 1_000;
/** A collector that answers slower than this loses the batch. */
const EXPORT_TIMEOUT_MS = 5_000;

export type Tracing = {
  /** Sends what waits and turns tracing off; never throws. */
  close(): Promise<void>;
};

/**
 * Starts OpenTelemetry traces to an OTLP/HTTP collector (`endpoint` is its origin, `/v1/traces` is added).
 * Without an endpoint nothing is imported and every span is a no-op.
 */
export async function startTracing(options: {
  service: string;
  endpoint: string | undefined;
}): Promise<Tracing> {
  if (options.endpoint === undefined) return { close: async () => undefined };
  const [sdk, { OTLPTraceExporter }, { resourceFromAttributes }, { AsyncLocalStorageContextManager }, core] =
    await Promise.all([
      import('@opentelemetry/sdk-trace'),
      import('@opentelemetry/exporter-trace-otlp-http'),
      import('@opentelemetry/resources'),
      import('@opentelemetry/context-async-hooks'),
      import('@opentelemetry/core'),
    ]);
  const exporter = new OTLPTraceExporter({
    url: `${options.endpoint.replace(/\/+$/, '')}/v1/traces`,
    timeoutMillis: EXPORT_TIMEOUT_MS,
  });
  const provider = new sdk.TracerProvider({
    resource: resourceFromAttributes({ 'service.name': options.service, 'service.namespace': 'millrace' }),
    sampler: new sdk.ParentBasedSampler({ root: new sdk.AlwaysOnSampler() }),
    spanProcessors: [
      new sdk.BatchSpanProcessor({
        exporter,
        maxQueueSize: SPAN_QUEUE_MAX,
        scheduledDelayMillis: SPAN_DELAY_MS,
        exportTimeoutMillis: EXPORT_TIMEOUT_MS,
      } as never),
    ],
  });
  trace.setGlobalTracerProvider(provider);
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new core.W3CTraceContextPropagator());
  return {
    close: async () => {
      await provider.shutdown().catch(() => undefined);
      trace.disable();
      context.disable();
      propagation.disable();
    },
  };
}
