import type { Static, TObject } from 'typebox';
import { loadConfig } from './config/config.ts';
import type { authConfig, serviceConfig } from './config/config-parts.ts';
import type { HttpApp } from './http/create-http.ts';
import { listenHttp } from './http/listen.ts';
import type { Logger } from './logger.ts';
import { createLogger } from './logger.ts';
import type { Metrics } from './metrics.ts';
import { createMetrics } from './metrics.ts';
import type { Running } from './run-service.ts';
import { runService } from './run-service.ts';
import { startTracing } from './tracing.ts';

/** The least that a service's configuration holds. */
type ServedSchema = TObject<typeof serviceConfig & Pick<typeof authConfig, 'authMode'>>;

/** What every service has before it connects to anything. */
export type ServiceBase<S extends ServedSchema> = {
  readonly service: string;
  readonly config: Readonly<Static<S>>;
  readonly logger: Logger;
  readonly metrics: Metrics;
};

export type ServiceOptions<S extends ServedSchema, C extends Running> = {
  name: string;
  /** Spreads at least `serviceConfig` and `authConfig`. */
  config: S;
  env: NodeJS.ProcessEnv;
  /** Reaches what the service stands on: `connectPlatform`, or `connectServers` without outbox and key set. */
  connect: (base: ServiceBase<S>) => Promise<C>;
  /** Makes what is special about the service; its app does not listen yet. */
  build: (parts: ServiceBase<S> & C) => Promise<ServiceParts>;
};

export type ServiceParts = {
  app: HttpApp;
  /** Stops what runs beside the app: called when no request is open any more and before the connections close. */
  close: () => Promise<void>;
};

/**
 * Runs a service as this process: configuration, logger, traces, metrics, connections, the service itself, then it
 * listens; SIGTERM or SIGINT closes all that in the opposite order. Exit codes are those of `runService`.
 */
export async function startService<S extends ServedSchema, C extends Running>(
  options: ServiceOptions<S, C>,
): Promise<void> {
  await runService({ name: options.name, start: () => open(options) });
}

async function open<S extends ServedSchema, C extends Running>(
  options: ServiceOptions<S, C>,
): Promise<Running> {
  const { name: service } = options;
  const { config } = loadConfig(options.config, options.env);
  const { host, port, authMode, logLevel, otlpEndpoint } = config as Static<ServedSchema>;
  const logger = createLogger({ service, level: logLevel });
  const tracing = await startTracing({ service, endpoint: otlpEndpoint });
  const base = { service, config, logger, metrics: createMetrics({ service }) };
  const connections = await options.connect(base);
  const { app, close } = await options.build({ ...base, ...connections });
  await listenHttp(app, { host, port, authMode, logger });
  return {
    async close() {
      await app.close();
      await close();
      await connections.close();
      await tracing.close();
    },
  };
}
