import type { Bus, BusTables, Outbox, OutboxRelay } from '@millrace/bus';
import { connectBus, createOutbox, createOutboxRelay, ensureStreams } from '@millrace/bus';
import type { Database } from '@millrace/database';
import { createDatabase, migrate } from '@millrace/database';
import type { Auth, AuthMode } from './auth/auth.ts';
import { connectAuth } from './auth/connect-auth.ts';
import type { ReadinessChecks } from './http/health.ts';
import type { Logger } from './logger.ts';

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
