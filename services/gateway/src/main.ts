import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  ConfigError,
  connectServers,
  createAuth,
  createKeySetHolder,
  startService,
} from '@millrace/service-kit';
import { buildApp } from './app.ts';
import { GatewayConfig } from './config.ts';
import { createKeyService } from './keys/key.service.ts';
import { startKeySetPublisher } from './keys/key-set.publisher.ts';

const VERSION = '0.0.0';

const migrationsFolder = fileURLToPath(new URL('../migrations', import.meta.url));

function readFile(file: string, name: string): string {
  if (!existsSync(file)) throw new ConfigError([`${name} names '${file}', which does not exist.`]);
  return readFileSync(file, 'utf8');
}

await startService({
  name: 'gateway',
  config: GatewayConfig,
  env: process.env,
  connect: (base) => connectServers({ ...base, schema: 'gateway', migrationsFolder }),
  async build({ config, logger, metrics, readiness, database, bus }) {
    const privateKeyPem = readFile(config.authKeyFile, 'MILLRACE_AUTH_KEY_FILE');
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
      readiness,
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
    return { app, close: () => publisher.stop() };
  },
});
