import { join } from 'node:path';
import type { Home } from './home.ts';
import { LaunchError } from './launch-error.ts';
import { type EmbeddedNats, startNats } from './nats.ts';
import { type EmbeddedPostgres, startPostgres } from './postgres.ts';
import { EMBEDDED_S3_REGION, type EmbeddedSeaweed, type SeaweedPorts, startSeaweed } from './seaweedfs.ts';
import { loadSecrets, type Secrets } from './secrets.ts';

const DATABASE = 'millrace';
const BUCKET = 'millrace';

/** Where the three servers are and how to enter them; `services` may do all, `worker` only its own work. */
export type InfraCoordinates = {
  database: { url: string };
  nats: {
    servicesUrl: string;
    servicesInboxPrefix: string;
    workerUrl: string;
    workerInboxPrefix: string;
  };
  s3: {
    endpoint: string;
    region: string;
    bucket: string;
    accessKeyId: string;
    secretAccessKey: string;
    workerAccessKeyId: string;
    workerSecretAccessKey: string;
  };
};

/** Ports to use again, so that a restart finds every address as it was. */
export type InfraPorts = { postgres?: number; nats?: number; s3?: SeaweedPorts };

/** How to start the servers. */
export type InfraOptions = {
  home: Home;
  /** Folder of the environment that holds nats-server and weed. */
  toolsFolder: string;
  env: NodeJS.ProcessEnv;
  ports?: InfraPorts;
  /** For tests: nothing is synced to disk, and servers end at once. */
  isThrowaway?: boolean;
  /** Told of each part as it becomes ready. */
  onReady?: (part: string, elapsedMs: number) => void;
};

/** The running servers; a part that is external is null and is never stopped. */
export type Infrastructure = {
  readonly postgres: EmbeddedPostgres | null;
  readonly nats: EmbeddedNats | null;
  readonly s3: EmbeddedSeaweed | null;
  readonly coordinates: InfraCoordinates;
  readonly ports: InfraPorts;
  readonly notices: readonly string[];
  /** Stops what was started here: NATS and S3 first, Postgres last. */
  stop(): Promise<void>;
};

/** Starts Postgres, NATS and S3 side by side, less those that the environment says are elsewhere. */
export async function startInfrastructure(options: InfraOptions): Promise<Infrastructure> {
  const secrets = loadSecrets(options.home.keys);
  const external = readExternal(options.env);
  const results = await Promise.allSettled([
    external.database ? null : timed(options, 'postgres', () => embeddedPostgres(options, secrets)),
    external.nats ? null : timed(options, 'nats', () => embeddedNats(options, secrets)),
    external.s3 ? null : timed(options, 's3', () => embeddedS3(options, secrets)),
  ]);
  const [postgres, nats, s3] = results.map((result) => (result.status === 'fulfilled' ? result.value : null));
  const servers = {
    postgres: postgres as EmbeddedPostgres | null,
    nats: nats as EmbeddedNats | null,
    s3: s3 as EmbeddedSeaweed | null,
  };
  const stop = async (): Promise<void> => {
    await Promise.all([servers.nats?.process.stop(), servers.s3?.process.stop()]);
    await servers.postgres?.process.stop();
  };
  const failure = results.find((result) => result.status === 'rejected');
  if (failure) {
    await stop();
    throw failure.reason;
  }
  return {
    ...servers,
    coordinates: coordinatesOf(servers, external, secrets),
    ports: portsOf(servers),
    notices: servers.postgres?.notices ?? [],
    stop,
  };
}

async function timed<T>(options: InfraOptions, part: string, start: () => Promise<T>): Promise<T> {
  const before = performance.now();
  const server = await start();
  options.onReady?.(part, performance.now() - before);
  return server;
}

function filesOf(home: Home, part: string): { dataFolder: string; logFile: string; pidFile: string } {
  return {
    dataFolder: join(home.data, part),
    logFile: join(home.logs, `${part}.log`),
    pidFile: join(home.pids, `${part}.pid`),
  };
}

function embeddedPostgres(options: InfraOptions, secrets: Secrets): Promise<EmbeddedPostgres> {
  return startPostgres({
    ...filesOf(options.home, 'postgres'),
    password: secrets.postgresPassword,
    database: DATABASE,
    ...(options.ports?.postgres ? { port: options.ports.postgres } : {}),
    ...(options.isThrowaway ? { isFsyncOn: false, stopGraceMs: 0 } : {}),
  });
}

function embeddedNats(options: InfraOptions, secrets: Secrets): Promise<EmbeddedNats> {
  return startNats({
    ...filesOf(options.home, 'nats'),
    binary: join(options.toolsFolder, 'bin', 'nats-server'),
    servicesPassword: secrets.natsServicesPassword,
    workerPassword: secrets.natsWorkerPassword,
    ...(options.ports?.nats ? { port: options.ports.nats } : {}),
    ...(options.isThrowaway ? { isSyncAlways: false, stopGraceMs: 0 } : {}),
  });
}

function embeddedS3(options: InfraOptions, secrets: Secrets): Promise<EmbeddedSeaweed> {
  return startSeaweed({
    ...filesOf(options.home, 's3'),
    binary: join(options.toolsFolder, 'bin', 'weed'),
    bucket: BUCKET,
    services: {
      accessKeyId: secrets.s3ServicesAccessKeyId,
      secretAccessKey: secrets.s3ServicesSecretAccessKey,
    },
    worker: { accessKeyId: secrets.s3WorkerAccessKeyId, secretAccessKey: secrets.s3WorkerSecretAccessKey },
    internalKeys: secrets.s3InternalKeys,
    ...(options.ports?.s3 ? { ports: options.ports.s3 } : {}),
    ...(options.isThrowaway ? { stopGraceMs: 0 } : {}),
  });
}

type External = {
  database: InfraCoordinates['database'] | null;
  nats: InfraCoordinates['nats'] | null;
  s3: InfraCoordinates['s3'] | null;
};

/** Reads which servers are external; throws a LaunchError when one is named by halves. */
export function readExternal(env: NodeJS.ProcessEnv): External {
  return { database: externalDatabase(env), nats: externalNats(env), s3: externalS3(env) };
}

function externalDatabase(env: NodeJS.ProcessEnv): External['database'] {
  return env.MILLRACE_DATABASE_URL ? { url: env.MILLRACE_DATABASE_URL } : null;
}

function externalNats(env: NodeJS.ProcessEnv): External['nats'] {
  const url = env.MILLRACE_NATS_URL;
  if (!url) return null;
  return {
    servicesUrl: url,
    servicesInboxPrefix: env.MILLRACE_NATS_INBOX_PREFIX ?? '_INBOX_services',
    workerUrl: env.MILLRACE_NATS_WORKER_URL ?? url,
    workerInboxPrefix: env.MILLRACE_NATS_WORKER_INBOX_PREFIX ?? '_INBOX_worker',
  };
}

function externalS3(env: NodeJS.ProcessEnv): External['s3'] {
  const endpoint = env.MILLRACE_S3_ENDPOINT;
  if (!endpoint) return null;
  const required = (name: string): string => {
    const value = env[name];
    if (!value) throw new LaunchError('s3', `MILLRACE_S3_ENDPOINT is set, so ${name} must be set too`);
    return value;
  };
  const accessKeyId = required('MILLRACE_S3_ACCESS_KEY_ID');
  const secretAccessKey = required('MILLRACE_S3_SECRET_ACCESS_KEY');
  return {
    endpoint,
    region: env.MILLRACE_S3_REGION ?? EMBEDDED_S3_REGION,
    bucket: env.MILLRACE_S3_BUCKET ?? BUCKET,
    accessKeyId,
    secretAccessKey,
    workerAccessKeyId: env.MILLRACE_S3_WORKER_ACCESS_KEY_ID ?? accessKeyId,
    workerSecretAccessKey: env.MILLRACE_S3_WORKER_SECRET_ACCESS_KEY ?? secretAccessKey,
  };
}

type Servers = Pick<Infrastructure, 'postgres' | 'nats' | 's3'>;

function coordinatesOf(servers: Servers, external: External, secrets: Secrets): InfraCoordinates {
  const { postgres, nats, s3 } = servers;
  return {
    database: external.database ?? { url: postgres?.url ?? '' },
    nats: external.nats ?? {
      servicesUrl: nats?.servicesUrl ?? '',
      servicesInboxPrefix: '_INBOX_services',
      workerUrl: nats?.workerUrl ?? '',
      workerInboxPrefix: '_INBOX_worker',
    },
    s3: external.s3 ?? {
      endpoint: s3?.endpoint ?? '',
      region: EMBEDDED_S3_REGION,
      bucket: BUCKET,
      accessKeyId: secrets.s3ServicesAccessKeyId,
      secretAccessKey: secrets.s3ServicesSecretAccessKey,
      workerAccessKeyId: secrets.s3WorkerAccessKeyId,
      workerSecretAccessKey: secrets.s3WorkerSecretAccessKey,
    },
  };
}

function portsOf({ postgres, nats, s3 }: Servers): InfraPorts {
  return {
    ...(postgres ? { postgres: postgres.port } : {}),
    ...(nats ? { nats: nats.port } : {}),
    ...(s3 ? { s3: s3.ports } : {}),
  };
}
