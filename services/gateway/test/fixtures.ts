import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { Bus } from '@millrace/bus';
import { connectBus, ensureStreams } from '@millrace/bus';
import type { Database } from '@millrace/database';
import { createDatabase, migrate } from '@millrace/database';
import { generateKeyPair } from '@millrace/integrity';
import type { AuthMode, HttpApp } from '@millrace/service-kit';
import {
  createApiKey,
  createAuth,
  createKeySetHolder,
  createLogger,
  createMetrics,
  listenHttp,
} from '@millrace/service-kit';
import { createTestDatabase, testInfra } from '@millrace/testing';
import { buildApp } from '../src/app.ts';
import type { KeyService } from '../src/keys/key.service.ts';
import { createKeyService } from '../src/keys/key.service.ts';
import { startKeySetPublisher } from '../src/keys/key-set.publisher.ts';
import type { ServiceName, Upstreams } from '../src/proxy/upstream.ts';
import { serviceNames } from '../src/proxy/upstream.ts';

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

/** An address where nothing listens. */
export const NOWHERE = 'http://127.0.0.1:9';

export type Gateway = {
  app: HttpApp;
  origin: string;
  port: number;
  adminKey: string;
  publicKeyPem: string;
  keys: KeyService;
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
}): Promise<Gateway> {
  const logger = createLogger({ service: 'gateway', level: 'silent' });
  const testDatabase = await createTestDatabase();
  const folder = fileURLToPath(new URL('../migrations', import.meta.url));
  await migrate({ url: testDatabase.url, schema: 'gateway', folder });
  const database = createDatabase({ url: testDatabase.url, applicationName: 'gateway-test' });
  const { servicesUrl: url, servicesInboxPrefix: inboxPrefix } = testInfra().nats;
  const bus = await connectBus({ url, name: 'gateway-test', inboxPrefix, logger });
  await ensureStreams(bus);
  const pair = generateKeyPair();
  const own = createKeySetHolder();
  const keys = createKeyService({ database, onChanged: () => void publisher.publish() });
  const publisher = startKeySetPublisher({
    bus,
    keySet: keys.keySet,
    own,
    privateKeyPem: pair.privateKeyPem,
    logger,
  });
  const { key: adminKey } = createApiKey('bootstrap');
  await keys.bootstrap(adminKey);
  await publisher.publish();
  const down = Object.fromEntries(serviceNames.map((name) => [name, NOWHERE])) as Record<ServiceName, string>;
  const authMode = options.mode ?? 'required';
  const app = await buildApp({
    version: '0.0.0',
    logger,
    metrics: createMetrics({ service: 'gateway', withDefaults: false }),
    auth: createAuth({ mode: authMode, keySet: own, logger }),
    readiness: { postgres: () => database.ping(), nats: () => bus.ping() },
    bus,
    keys,
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
    bus,
    database,
    async close() {
      await app.close();
      await publisher.stop();
      await bus.close();
      await database.close();
      await testDatabase.drop();
    },
  };
}
