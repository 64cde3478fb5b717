import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { Bus } from '@millrace/bus';
import { connectBus, createOutbox, createOutboxRelay, ensureStreams } from '@millrace/bus';
import type { Database } from '@millrace/database';
import { createDatabase, migrate } from '@millrace/database';
import { generateKeyPair } from '@millrace/integrity';
import type { AuthMode, HttpApp, KeySetSource } from '@millrace/service-kit';
import { createApiKey, createAuth, createLogger, createMetrics, listenHttp } from '@millrace/service-kit';
import { createTestDatabase, startNats, testInfra } from '@millrace/testing';
import { buildApp } from '../src/app.ts';
import { startAuditWriter } from '../src/audit/audit.writer.ts';
import { loginEntry } from '../src/audit/audit-entry.ts';
import { startIdentity } from '../src/identity.ts';
import type { KeyService } from '../src/keys/key.service.ts';
import type { Issuer } from '../src/oidc/issuer-config.ts';
import type { ServiceName, Upstreams } from '../src/proxy/upstream.ts';
import { serviceNames } from '../src/proxy/upstream.ts';
import { busTables } from '../src/schema.ts';
import { startWebhooks } from '../src/webhooks/start-webhooks.ts';
import { parseNetworks } from '../src/webhooks/target.ts';

/** A plain HTTP server that stands where a service would. */
export type Backend = { server: Server; origin: string; close(): Promise<void> };

export async function startBackend(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<Backend> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    server,
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A receiver of a webhook must answer within this time; short, for tests of those that do not. */
const SEND_TIMEOUT_MS = 1_000;
/** Least time between two fetches of keys that unknown ones ask for; short, for tests that wait for it. */
export const SEEK_INTERVAL_MS = 500;

/** An address where nothing listens. */
export const NOWHERE = 'http://127.0.0.1:9';

export type Gateway = {
  app: HttpApp;
  origin: string;
  port: number;
  adminKey: string;
  publicKeyPem: string;
  keys: KeyService;
  keySet: KeySetSource;
  bus: Bus;
  database: Database;
  close(): Promise<void>;
};

/** A gateway on real Postgres and NATS, in front of the given services; the others are down. */
export async function startGateway(options: {
  mode?: AuthMode;
  upstreams?: Partial<Record<ServiceName, string>>;
  ratePerSecond?: number;
  uploadBytesMax?: number;
  issuers?: readonly Issuer[];
  webhookNetworks?: string;
}): Promise<Gateway> {
  const logger = createLogger({ service: 'gateway', level: 'silent' });
  const testDatabase = await createTestDatabase();
  const folder = fileURLToPath(new URL('../migrations', import.meta.url));
  await migrate({ url: testDatabase.url, schema: 'gateway', folder });
  const database = createDatabase({ url: testDatabase.url, applicationName: 'gateway-test' });
  // its own: gateways of other tests would answer for the key set
  const nats = await startNats();
  const { servicesInboxPrefix: inboxPrefix } = testInfra().nats;
  const bus = await connectBus({ url: nats.servicesUrl, name: 'gateway-test', inboxPrefix, logger });
  await ensureStreams(bus);
  const pair = generateKeyPair();
  const outbox = createOutbox(busTables, 'gateway');
  const identity = startIdentity({
    database,
    bus,
    outbox,
    privateKeyPem: pair.privateKeyPem,
    logger,
    issuers: options.issuers ?? [],
    seekIntervalMs: SEEK_INTERVAL_MS,
  });
  const { keys, principals, tenants, issuerKeys } = identity;
  await issuerKeys.start();
  const { key: adminKey } = createApiKey('bootstrap');
  await keys.bootstrap(adminKey);
  await identity.publish();
  const down = Object.fromEntries(serviceNames.map((name) => [name, NOWHERE])) as Record<ServiceName, string>;
  const authMode = options.mode ?? 'required';
  const metrics = createMetrics({ service: 'gateway', withDefaults: false });
  const audit = startAuditWriter({ database, logger, metrics, retentionDays: 30 });
  const relay = createOutboxRelay({ database, tables: busTables, bus, schema: 'gateway' });
  relay.start();
  const { webhooks, stop: stopWebhooks } = startWebhooks({
    database,
    bus,
    outbox,
    privateKeyPem: pair.privateKeyPem,
    networks: parseNetworks(options.webhookNetworks ?? ''),
    logger,
    metrics,
    sendTimeoutMs: SEND_TIMEOUT_MS,
  });
  const app = await buildApp({
    version: '0.0.0',
    logger,
    metrics,
    database,
    audit,
    webhooks,
    limitsOf: identity.limitsOf,
    auth: createAuth({
      mode: authMode,
      keySet: identity.keySet,
      logger,
      onToken: (principal, credentials) => audit.add(loginEntry(principal, credentials)),
    }),
    readiness: { postgres: () => database.ping(), nats: () => bus.ping() },
    bus,
    keys,
    principals,
    tenants,
    issuerKeys,
    upstreams: { ...down, ...options.upstreams } as Upstreams,
    bounds: { uploadBytesMax: options.uploadBytesMax ?? 1024 ** 3, predictBytesMax: 64 * 1024 ** 2 },
    ratePerSecond: options.ratePerSecond ?? 10_000,
  });
  const { origin, port } = await listenHttp(app, { host: '127.0.0.1', port: 0, authMode, logger });
  return {
    app,
    origin,
    port,
    adminKey,
    publicKeyPem: pair.publicKeyPem,
    keys,
    keySet: identity.keySet,
    bus,
    database,
    async close() {
      await app.close();
      await stopWebhooks();
      await relay.stop();
      await identity.stop();
      await audit.stop();
      await bus.close();
      await nats.stop();
      await database.close();
      await testDatabase.drop();
    },
  };
}

/** Sends a request to a gateway, with the key of its admin unless another is named; a body makes it a POST. */
export type Call = (
  path: string,
  options?: { key?: string; method?: string; body?: unknown; headers?: Record<string, string> },
) => Promise<{ status: number; headers: Headers; body: Record<string, unknown> }>;

export function callerOf(gateway: Gateway): Call {
  return async (path, options = {}) => {
    const { key = gateway.adminKey, body, method = body === undefined ? 'GET' : 'POST' } = options;
    const response = await fetch(gateway.origin + path, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...options.headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      body: (text === '' ? null : JSON.parse(text)) as Record<string, unknown>,
    };
  };
}
