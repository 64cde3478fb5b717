import { readFileSync } from 'node:fs';
import type { Bus, BusTables, Outbox, OutboxRelay } from '@millrace/bus';
import { connectBus, createOutbox, createOutboxRelay, ensureStreams } from '@millrace/bus';
import type { Database } from '@millrace/database';
import { createDatabase, migrate } from '@millrace/database';
import type { Auth, AuthMode } from './auth/auth.ts';
import { createAuth } from './auth/auth.ts';
import { createKeySetClient, KEY_SET_CHANGED_SUBJECT, KEY_SET_SUBJECT } from './auth/key-set-client.ts';
import type { ReadinessChecks } from './http/health.ts';
import type { Logger } from './logger.ts';

const KEY_SET_TIMEOUT_MS = 2_000;
/** As long as the gateway may take to fetch the keys of an identity provider, and a little more. */
const KEY_SET_SEEK_TIMEOUT_MS = 5_000;

/** Where a service keeps its rows and finds its servers. */
export type ServersOptions = {
  /** Name of the service; its Postgres schema may differ. */
  service: string;
  schema: string;
  /** Folder of the service's SQL migrations. */
  migrationsFolder: string;
  logger: Logger;
  config: { readonly databaseUrl: string; readonly natsUrl: string; readonly natsInboxPrefix: string };
};

/** The database (migrated) and the bus (streams ensured). */
export type Servers = {
  readonly database: Database;
  readonly bus: Bus;
  /** Checks for `/health/ready`: a write to Postgres is not needed, a JetStream answer is. */
  readonly readiness: ReadinessChecks;
  close(): Promise<void>;
};

export type PlatformOptions = ServersOptions & {
  busTables: BusTables;
  config: { readonly authMode: AuthMode; readonly authPublicKeyFile: string };
};

/** What nearly every service stands on: its servers, outbox, auth. */
export type Platform = Servers & {
  readonly outbox: Outbox;
  readonly relay: OutboxRelay;
  readonly auth: Auth;
  /** Closes in the order that loses nothing: relay, auth, bus, database. */
  close(): Promise<void>;
};

/** Migrates and connects. Throws when Postgres or NATS cannot be reached at start. */
export async function connectServers(options: ServersOptions): Promise<Servers> {
  const { service, schema, logger, config } = options;
  await migrate({ url: config.databaseUrl, schema, folder: options.migrationsFolder });
  const database = createDatabase({
    url: config.databaseUrl,
    applicationName: service,
    onError: (error) => logger.warn({ err: error }, 'A Postgres connection broke; the pool opens another.'),
  });
  const bus = await connectBus({
    url: config.natsUrl,
    name: service,
    inboxPrefix: config.natsInboxPrefix,
    logger,
  });
  await ensureStreams(bus);
  return {
    database,
    bus,
    readiness: { postgres: () => database.ping(), nats: () => bus.ping() },
    async close() {
      await bus.close();
      await database.close();
    },
  };
}

/** Checks of API keys by the key set that the gateway publishes; asks for it over the bus and hears of changes. */
export function connectAuth(
  bus: Bus,
  config: { readonly authMode: AuthMode; readonly authPublicKeyFile: string },
  logger: Logger,
): { auth: Auth; close(): void } {
  const keySet = createKeySetClient({
    publicKeyPem: readFileSync(config.authPublicKeyFile, 'utf8'),
    fetch: async (question) => {
      const timeout = question.seek === undefined ? KEY_SET_TIMEOUT_MS : KEY_SET_SEEK_TIMEOUT_MS;
      return (await bus.nc.request(KEY_SET_SUBJECT, JSON.stringify(question), { timeout })).json();
    },
    onChanged: (refresh) => bus.nc.subscribe(KEY_SET_CHANGED_SUBJECT, { callback: refresh }),
    logger,
  });
  return { auth: createAuth({ mode: config.authMode, keySet, logger }), close: () => keySet.close() };
}

/** Migrates, connects and starts the outbox relay. Throws when Postgres or NATS cannot be reached at start. */
export async function connectPlatform(options: PlatformOptions): Promise<Platform> {
  const { service, schema, busTables, logger, config } = options;
  const servers = await connectServers(options);
  const { database, bus } = servers;
  const relay = createOutboxRelay({ database, tables: busTables, bus, schema });
  relay.start();
  const auth = connectAuth(bus, config, logger);
  return {
    ...servers,
    outbox: createOutbox(busTables, service),
    relay,
    auth: auth.auth,
    async close() {
      await relay.stop();
      auth.close();
      await servers.close();
    },
  };
}
