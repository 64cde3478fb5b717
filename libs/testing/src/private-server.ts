import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  type EmbeddedNats,
  type EmbeddedPostgres,
  type EmbeddedSeaweed,
  type ManagedProcess,
  startNats as startEmbeddedNats,
  startPostgres as startEmbeddedPostgres,
  startSeaweed,
} from '@millrace/embedded';
import { testInfra } from './test-infra.ts';

/** What a test may do to a server of its own; addresses and data stay the same over a restart. */
export type ServerControl = {
  /** Ends it cleanly; it can be started again. */
  shutDown(): Promise<void>;
  /** SIGKILL, as a crash would. */
  killHard(): Promise<void>;
  /** Starts it again after shutDown() or killHard(). */
  start(): Promise<void>;
  /** shutDown() and start(). */
  restart(): Promise<void>;
  /** SIGSTOP: connections stay open and nothing answers. */
  pause(): Promise<void>;
  /** SIGCONT. */
  resume(): void;
  /** Ends it for good and removes its data; call it in afterAll. */
  stop(): Promise<void>;
};

/** A NATS server of one test file. */
export type PrivateNats = ServerControl & Pick<EmbeddedNats, 'port' | 'servicesUrl' | 'workerUrl'>;
/** A Postgres of one test file. */
export type PrivatePostgres = ServerControl & Pick<EmbeddedPostgres, 'port' | 'url'>;
/** An object store of one test file. */
export type PrivateS3 = ServerControl &
  Pick<EmbeddedSeaweed, 'endpoint' | 'region' | 'bucket'> & {
    accessKeyId: string;
    secretAccessKey: string;
    workerAccessKeyId: string;
    workerSecretAccessKey: string;
  };

/** Starts a NATS server for this test alone (about 50 ms), with the platform's users and permissions. */
export async function startNats(): Promise<PrivateNats> {
  const files = folderFor('nats');
  const passwords = { servicesPassword: secret(), workerPassword: secret() };
  const binary = join(testInfra().toolsFolder, 'bin', 'nats-server');
  const options = { ...files, ...passwords, binary, isSyncAlways: false };
  const first = await startEmbeddedNats(options);
  const control = controlOf(first.process, files.dataFolder, () =>
    startEmbeddedNats({ ...options, port: first.port }),
  );
  return { ...control, port: first.port, servicesUrl: first.servicesUrl, workerUrl: first.workerUrl };
}

/** Starts a Postgres for this test alone (about 1 s), empty but for the database `millrace`. */
export async function startPostgres(): Promise<PrivatePostgres> {
  const files = folderFor('postgres');
  const options = { ...files, password: secret(), database: 'millrace', isFsyncOn: false };
  const first = await startEmbeddedPostgres(options);
  const control = controlOf(first.process, first.dataFolder, () =>
    startEmbeddedPostgres({ ...options, port: first.port }),
  );
  return { ...control, port: first.port, url: first.url };
}

/** Starts an object store for this test alone (about 2.5 s), with the bucket `millrace`. */
export async function startS3(): Promise<PrivateS3> {
  const files = folderFor('s3');
  const services = { accessKeyId: 'services', secretAccessKey: secret() };
  const worker = { accessKeyId: 'worker', secretAccessKey: secret() };
  const binary = join(testInfra().toolsFolder, 'bin', 'weed');
  const internalKeys = [secret(), secret(), secret(), secret()];
  const options = { ...files, binary, bucket: 'millrace', services, worker, internalKeys };
  const first = await startSeaweed(options);
  const control = controlOf(first.process, files.dataFolder, () =>
    startSeaweed({ ...options, ports: first.ports }),
  );
  return {
    ...control,
    ...services,
    endpoint: first.endpoint,
    region: first.region,
    bucket: first.bucket,
    workerAccessKeyId: worker.accessKeyId,
    workerSecretAccessKey: worker.secretAccessKey,
  };
}

function controlOf(
  first: ManagedProcess,
  dataFolder: string,
  startAgain: () => Promise<{ process: ManagedProcess }>,
): ServerControl {
  let current = first;
  const start = async (): Promise<void> => {
    current = (await startAgain()).process;
  };
  return {
    shutDown: () => current.stop(),
    killHard: () => current.killHard(),
    start,
    async restart() {
      await current.stop();
      await start();
    },
    pause: () => current.pause(),
    resume: () => current.resume(),
    async stop() {
      await current.killHard();
      rmSync(dataFolder, { recursive: true, force: true });
    },
  };
}

function folderFor(part: string): { dataFolder: string; logFile: string; pidFile: string } {
  const name = `${part}-${randomBytes(4).toString('hex')}`;
  const { home } = testInfra();
  const dataFolder = join(home, 'data', name);
  mkdirSync(dataFolder, { recursive: true });
  return {
    dataFolder,
    logFile: join(home, 'logs', `${name}.log`),
    pidFile: join(home, 'pids', `${name}.pid`),
  };
}

function secret(): string {
  return randomBytes(24).toString('hex');
}
