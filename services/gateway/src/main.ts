import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createOutbox, createOutboxRelay } from '@millrace/bus';
import { ConfigError, connectServers, createAuth, startService } from '@millrace/service-kit';
import { buildApp } from './app.ts';
import { startAuditWriter } from './audit/audit.writer.ts';
import { loginEntry } from './audit/audit-entry.ts';
import { GatewayConfig } from './config.ts';
import { startIdentity } from './identity.ts';
import { parseIssuers } from './oidc/issuer-config.ts';
import { busTables } from './schema.ts';
import { startWebhooks } from './webhooks/start-webhooks.ts';
import type { AllowedNetworks } from './webhooks/target.ts';
import { parseNetworks } from './webhooks/target.ts';

const VERSION = '0.0.0';
const ISSUERS_VARIABLE = 'MILLRACE_OIDC_ISSUERS_FILE';

const migrationsFolder = fileURLToPath(new URL('../migrations', import.meta.url));

function readFile(file: string, name: string): string {
  if (!existsSync(file)) throw new ConfigError([`${name} names '${file}', which does not exist.`]);
  return readFileSync(file, 'utf8');
}

function networksOf(text: string): AllowedNetworks {
  try {
    return parseNetworks(text);
  } catch (error) {
    throw new ConfigError([`MILLRACE_WEBHOOK_NETWORKS: ${(error as Error).message}`]);
  }
}

await startService({
  name: 'gateway',
  config: GatewayConfig,
  env: process.env,
  connect: (base) => connectServers({ ...base, schema: 'gateway', migrationsFolder }),
  async build({ config, logger, metrics, readiness, database, bus }) {
    const privateKeyPem = readFile(config.authKeyFile, 'MILLRACE_AUTH_KEY_FILE');
    const issuers =
      config.oidcIssuersFile === undefined
        ? []
        : parseIssuers(readFile(config.oidcIssuersFile, ISSUERS_VARIABLE), ISSUERS_VARIABLE);
    const outbox = createOutbox(busTables, 'gateway');
    const identity = startIdentity({ database, bus, outbox, privateKeyPem, logger, issuers });
    const { keys, principals, tenants, issuerKeys } = identity;
    await issuerKeys.start();
    if (config.bootstrapTokenFile !== undefined) {
      await keys.bootstrap(readFile(config.bootstrapTokenFile, 'MILLRACE_BOOTSTRAP_TOKEN_FILE').trim());
    }
    await identity.publish();
    const { auditRetentionDays: retentionDays } = config;
    const audit = startAuditWriter({ database, logger, metrics, retentionDays });
    const relay = createOutboxRelay({ database, tables: busTables, bus, schema: 'gateway' });
    relay.start();
    const { webhooks, stop: stopWebhooks } = startWebhooks({
      database,
      bus,
      outbox,
      privateKeyPem,
      networks: networksOf(config.webhookNetworks),
      logger,
      metrics,
    });
    const app = await buildApp({
      version: VERSION,
      logger,
      metrics,
      auth: createAuth({
        mode: config.authMode,
        keySet: identity.keySet,
        logger,
        onToken: (principal, credentials) => audit.add(loginEntry(principal, credentials)),
      }),
      readiness,
      bus,
      keys,
      principals,
      tenants,
      issuerKeys,
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
      database,
      audit,
      webhooks,
      limitsOf: identity.limitsOf,
    });
    return {
      app,
      async close() {
        await stopWebhooks();
        await relay.stop();
        await identity.stop();
        await audit.stop();
      },
    };
  },
});
