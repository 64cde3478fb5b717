import { join } from 'node:path';
import { INBOX_PREFIXES, type InfraCoordinates } from './coordinates.ts';
import { type External, readExternal } from './external.ts';
import type { Home } from './home.ts';
import { LaunchError } from './launch-error.ts';
import { natsUrl, startNats } from './nats.ts';
import type { Part } from './part.ts';
import { freePort } from './ports.ts';
import { postgresUrl, startPostgres } from './postgres.ts';
import { ensureBucket } from './s3-probe.ts';
import { EMBEDDED_S3_REGION, freeSeaweedPorts, startSeaweed } from './seaweedfs.ts';
import { loadSecrets, type Secrets } from './secrets.ts';

const DATABASE = 'millrace';
const BUCKET = 'millrace';

/** How to run the servers. */
export type InfraOptions = {
  home: Home;
  /** Folder of the environment that holds nats-server and weed. */
  toolsFolder: string;
  env: NodeJS.ProcessEnv;
  /** For tests: nothing is synced to disk, and servers end at once. */
  isThrowaway?: boolean;
  /** Told what the user should know, such as data kept outside the home. */
  onNotice?: (notice: string) => void;
};

/** The servers to start, none for those that are external, and where all of them will be. */
export type InfraPlan = {
  readonly parts: readonly Part[];
  readonly coordinates: InfraCoordinates;
};

/** Chooses ports and credentials of Postgres, NATS and S3; nothing is started yet. */
export async function planInfrastructure(options: InfraOptions): Promise<InfraPlan> {
  const secrets = loadSecrets(options.home.keys);
  const external = readExternal(options.env);
  const postgres = external.database ? null : await planPostgres(options, secrets);
  const nats = external.nats ? null : await planNats(options, secrets);
  const s3 = external.s3 ? null : await planS3(options, secrets);
  await checkExternal(external);
  return {
    parts: [postgres?.part, nats?.part, s3?.part].filter((part) => part !== undefined),
    coordinates: {
      database: external.database ?? { url: postgres?.url ?? '' },
      nats: external.nats ?? (nats as Planned<'nats'>).coordinates,
      s3: external.s3 ?? (s3 as Planned<'s3'>).coordinates,
    },
  };
}

type Planned<K extends keyof InfraCoordinates> = { part: Part; coordinates: InfraCoordinates[K] };

async function planPostgres(options: InfraOptions, secrets: Secrets): Promise<{ part: Part; url: string }> {
  const files = filesOf(options.home, 'postgres');
  const port = await freePort();
  const start: Part['start'] = async (signal) => {
    const server = await startPostgres({
      ...files,
      signal,
      port,
      password: secrets.postgresPassword,
      database: DATABASE,
      ...(options.isThrowaway ? { isFsyncOn: false, stopGraceMs: 0 } : {}),
    });
    for (const notice of server.notices) options.onNotice?.(notice);
    return server.process;
  };
  const part: Part = { name: 'postgres', kind: 'server', port, logFile: files.logFile, start };
  return { part, url: postgresUrl(secrets.postgresPassword, port, DATABASE) };
}

async function planNats(options: InfraOptions, secrets: Secrets): Promise<Planned<'nats'>> {
  const files = filesOf(options.home, 'nats');
  const port = await freePort();
  const start: Part['start'] = async (signal) => {
    const server = await startNats({
      ...files,
      signal,
      port,
      binary: join(options.toolsFolder, 'bin', 'nats-server'),
      servicesPassword: secrets.natsServicesPassword,
      workerPassword: secrets.natsWorkerPassword,
      ...(options.isThrowaway ? { isSyncAlways: false, stopGraceMs: 0 } : {}),
    });
    return server.process;
  };
  return {
    part: { name: 'nats', kind: 'server', port, logFile: files.logFile, start },
    coordinates: {
      servicesUrl: natsUrl('services', secrets.natsServicesPassword, port),
      servicesInboxPrefix: INBOX_PREFIXES.services,
      workerUrl: natsUrl('worker', secrets.natsWorkerPassword, port),
      workerInboxPrefix: INBOX_PREFIXES.worker,
    },
  };
}

async function planS3(options: InfraOptions, secrets: Secrets): Promise<Planned<'s3'>> {
  const files = filesOf(options.home, 's3');
  const ports = await freeSeaweedPorts();
  const services = {
    accessKeyId: secrets.s3ServicesAccessKeyId,
    secretAccessKey: secrets.s3ServicesSecretAccessKey,
  };
  const worker = {
    accessKeyId: secrets.s3WorkerAccessKeyId,
    secretAccessKey: secrets.s3WorkerSecretAccessKey,
  };
  const start: Part['start'] = async (signal) => {
    const server = await startSeaweed({
      ...files,
      signal,
      ports,
      services,
      worker,
      binary: join(options.toolsFolder, 'bin', 'weed'),
      bucket: BUCKET,
      internalKeys: secrets.s3InternalKeys,
      ...(options.isThrowaway ? { stopGraceMs: 0 } : {}),
    });
    return server.process;
  };
  return {
    part: { name: 's3', kind: 'server', port: ports.s3, logFile: files.logFile, start },
    coordinates: {
      endpoint: `http://127.0.0.1:${ports.s3}`,
      region: EMBEDDED_S3_REGION,
      bucket: BUCKET,
      ...services,
      workerAccessKeyId: worker.accessKeyId,
      workerSecretAccessKey: worker.secretAccessKey,
    },
  };
}

function filesOf(home: Home, part: string): { dataFolder: string; logFile: string; pidFile: string } {
  return {
    dataFolder: join(home.data, part),
    logFile: join(home.logs, `${part}.log`),
    pidFile: join(home.pids, `${part}.pid`),
  };
}

async function checkExternal(external: External): Promise<void> {
  if (!external.s3) return;
  const { endpoint, bucket } = external.s3;
  const isThere = await ensureBucket(external.s3).catch(() => false);
  if (isThere) return;
  throw new LaunchError('s3', `${endpoint} does not answer, or its key may not use the bucket ${bucket}`);
}
