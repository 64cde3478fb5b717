import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { connectBus, ensureStreams } from '@millrace/bus';
import { createDatabase, migrate } from '@millrace/database';
import {
  ConfigError,
  createAuth,
  createKeySetHolder,
  createLogger,
  createMetrics,
  listenHttp,
  loadConfig,
  runService,
  startTracing,
} from '@millrace/service-kit';
import { buildApp } from './app.ts';
import { GatewayConfig } from './config.ts';
import { createKeyService } from './keys/key.service.ts';
import { startKeySetPublisher } from './keys/key-set.publisher.ts';

const SERVICE = 'gateway';
const VERSION = '0.0.0';

async function start() {
  const { config } = loadConfig(GatewayConfig, process.env);
  const privateKeyPem = readFile(config.authKeyFile, 'MILLRACE_AUTH_KEY_FILE');
  const logger = createLogger({ service: SERVICE, level: config.logLevel });
  const tracing = await startTracing({ service: SERVICE, endpoint: config.otlpEndpoint });
  const metrics = createMetrics({ service: SERVICE });

  const folder = fileURLToPath(new URL('../migrations', import.meta.url));
  await migrate({ url: config.databaseUrl, schema: SERVICE, folder });
  const database = createDatabase({
    url: config.databaseUrl,
    applicationName: SERVICE,
    onError: (error) => logger.warn({ err: error }, 'A Postgres connection broke; the pool opens another.'),
  });
  const bus = await connectBus({
    url: config.natsUrl,
    name: SERVICE,
    inboxPrefix: config.natsInboxPrefix,
    logger,
  });
  await ensureStreams(bus);

  const own = createKeySetHolder();
  const keys = createKeyService({ database, onChanged: () => void publisher.publish() });
  const publisher = startKeySetPublisher({ bus, keySet: keys.keySet, own, privateKeyPem, logger });
  if (config.bootstrapTokenFile !== undefined) {
    await keys.bootstrap(readFile(config.bootstrapTokenFile, 'MILLRACE_BOOTSTRAP_TOKEN_FILE').trim());
  }
  await publisher.publish();

  const app = await buildApp({
    version: VERSION,
    logger,
    metrics,
    auth: createAuth({ mode: config.authMode, keySet: own, logger }),
    readiness: { postgres: () => database.ping(), nats: () => bus.ping() },
    bus,
    keys,
    upstreams: {
      datasets: config.datasets,
      'training-orchestrator': config.trainingOrchestrator,
      converter: config.converter,
      registry: config.registry,
      inference: config.inference,
      monitoring: config.monitoring,
    },
    bounds: { uploadBytesMax: config.uploadBytesMax, predictBytesMax: config.predictBytesMax },
    ratePerSecond: config.ratePerSecond,
  });
  await listenHttp(app, { host: config.host, port: config.port, authMode: config.authMode, logger });
  return {
    async close() {
      await app.close();
      await publisher.stop();
      await bus.close();
      await database.close();
      await tracing.close();
    },
  };
}

function readFile(file: string, name: string): string {
  if (!existsSync(file)) throw new ConfigError([`${name} names '${file}', which does not exist.`]);
  return readFileSync(file, 'utf8');
}

await runService({ name: SERVICE, start });
