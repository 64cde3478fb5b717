import { connectBus } from '@millrace/bus';
import { AppError } from '@millrace/contracts';
import {
  ConfigError,
  connectAuth,
  createLogger,
  createMetrics,
  EXIT_CONFIG,
  loadConfig,
  snapshotMetrics,
  startTracing,
} from '@millrace/service-kit';
import { InferenceConfig } from '../config.ts';
import { keepCompiledCode } from '../engine/compiled-code.ts';
import { createFront } from '../front.ts';
import type { FrontCalls, SupervisorCalls } from './calls.ts';
import { LOAD_TIMEOUT_MS, RECALL_TIMEOUT_MS } from './calls.ts';
import type { Channel } from './channel.ts';
import { openChannel } from './channel.ts';
import { createBatchFace, createServerFace, targetOf } from './server-face.ts';

/** A process of the inference service that answers requests on the shared port; the supervisor starts and ends it. */
const SERVICE = 'inference';

/** The supervisor reads the same variables and says what is wrong with them. */
function readConfig(): InferenceConfig {
  try {
    return loadConfig(InferenceConfig, process.env).config;
  } catch (error) {
    if (error instanceof ConfigError) process.exit(EXIT_CONFIG);
    throw error;
  }
}

const config = readConfig();
const logger = createLogger({ service: SERVICE, level: config.logLevel }).child({ front: process.pid });
const fatal = (reason: string) => (error: unknown) => {
  logger.fatal({ err: error }, reason);
  process.exit(1);
};
process.on('unhandledRejection', fatal('A promise was rejected and nobody handled it.'));
process.on('uncaughtException', fatal('An error was thrown and nobody caught it.'));
// a Ctrl-C reaches the whole group; the supervisor decides when a front ends
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => undefined);
// without its supervisor nobody would fetch packages for it or end it
process.on('disconnect', () => process.exit(0));

const tracing = await startTracing({ service: SERVICE, endpoint: config.otlpEndpoint });
const metrics = createMetrics({ service: SERVICE, loopLookMs: 10 });
const bus = await connectBus({
  url: config.natsUrl,
  name: SERVICE,
  inboxPrefix: config.natsInboxPrefix,
  logger,
});
const keys = connectAuth(bus, config, logger);

let isStarted = false;
const supervisor: Channel<SupervisorCalls> = openChannel<SupervisorCalls, FrontCalls>(
  {
    send: (message) => void process.send?.(message),
    onMessage: (listener) => process.on('message', listener),
  },
  {
    load: ({ modelVersionId }) => front.load(modelVersionId),
    runChunk: (order) => front.runChunk(order),
    metrics: () => snapshotMetrics(metrics),
    async listen() {
      try {
        return await front.listen();
      } catch (error) {
        if (error instanceof ConfigError) return { faults: [...error.faults] };
        throw error;
      }
    },
    async started() {
      isStarted = true;
      return null;
    },
    async close() {
      await front.close();
      keys.close();
      await bus.close();
      await tracing.close();
      return null;
    },
    index: () => front.own.control.index(),
    loadByName: async ({ name = '', version }) => {
      await front.own.control.load(name, version);
      return null;
    },
    unloadByName: async ({ name = '', version }) => {
      await front.own.control.unload(name, version);
      return null;
    },
    statistics: ({ name, version }) => front.own.control.statistics(name, version),
    config: ({ name = '', version }) => front.own.control.config(name, version),
    recall: ({ name = '', version }) => front.remembered(name, version),
    view: () => front.own.report.view(),
    unload: ({ modelVersionId }) => front.own.report.unload(modelVersionId),
  },
);
process.once('disconnect', () => supervisor.close(new AppError('shutting_down', 'The service is stopping.')));

const front = await createFront({
  config,
  logger,
  metrics,
  bus,
  auth: keys.auth,
  cache: {
    fetch: (sha256) => supervisor.call('fetch', { sha256 }, LOAD_TIMEOUT_MS),
    async discard(sha256) {
      await supervisor.call('discard', { sha256 }, LOAD_TIMEOUT_MS);
    },
  },
  batch: createBatchFace(supervisor),
  isStarted: () => isStarted,
  probe: (graph) => supervisor.call('probe', graph, LOAD_TIMEOUT_MS),
  face: createServerFace(supervisor),
  recall: (name, version) => supervisor.call('recall', targetOf(name, version), RECALL_TIMEOUT_MS),
});
process.send?.({ front: 'ready' });
keepCompiledCode();
