import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, GRPC_PORT_OFFSET } from './ports.ts';
import { type ManagedProcess, startProcess } from './process.ts';
import { isBucketWritable } from './s3-probe.ts';
import { identities, securityToml } from './seaweedfs-config.ts';
import { serverEnvironment } from './server-environment.ts';

const READY_TIMEOUT_MS = 180_000;
/**
 * Asked to end, the filer waits 15 s for a stream that its own S3 gateway holds open. Its stores are journaled and
 * safe against a kill, so it gets this long to end its requests and is then killed.
 */
const STOP_GRACE_MS = 1_500;
/** Collects garbage when the heap grew by this share, in percent: idle memory for a little processor time. */
const GC_PERCENT = '50';
/**
 * Memory it tries to stay under; a goal and not a bound, so large uploads still go through. It needs 110 MiB with nothing
 * to do: with a goal of 128 MiB it collects garbage all the time, for 42 % of a core; with this one for 2 %, in no more memory.
 */
const MEMORY_GOAL = '512MiB';
/** A volume file is closed at this size; space is never preallocated. */
const VOLUME_SIZE_MIB = 1_024;

/** The one region name SeaweedFS answers to. */
export const EMBEDDED_S3_REGION = 'us-east-1';

/** An access key of the object store. */
export type S3Credentials = { accessKeyId: string; secretAccessKey: string };

/** How to start an embedded object store. */
export type SeaweedOptions = {
  /** The program `weed`, from the tools environment. */
  binary: string;
  dataFolder: string;
  logFile: string;
  pidFile?: string;
  bucket: string;
  services: S3Credentials;
  worker: S3Credentials;
  /** Four random keys that close the store's internal HTTP ports to anybody but itself. */
  internalKeys: readonly string[];
  ports?: SeaweedPorts;
  stopGraceMs?: number;
  /** Ends a start that is under way. */
  signal?: AbortSignal | undefined;
};

/** HTTP ports; each has its gRPC twin at port + 10000. */
export type SeaweedPorts = { master: number; volume: number; filer: number; s3: number };

/** A running embedded object store. */
export type EmbeddedSeaweed = {
  readonly process: ManagedProcess;
  readonly ports: SeaweedPorts;
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
};

/** Starts `weed server -s3` on loopback and makes the bucket; ready when an object can be written. */
export async function startSeaweed(options: SeaweedOptions): Promise<EmbeddedSeaweed> {
  const ports = options.ports ?? (await freeSeaweedPorts());
  const data = join(options.dataFolder, 'volumes');
  mkdirSync(data, { recursive: true, mode: 0o700 });
  const configFile = join(options.dataFolder, 's3.json');
  writeFileSync(configFile, identities(options), { mode: 0o600 });
  writeFileSync(join(options.dataFolder, 'security.toml'), securityToml(options.internalKeys), {
    mode: 0o600,
  });
  removeSockets(ports);
  const endpoint = `http://127.0.0.1:${ports.s3}`;
  const target = { endpoint, region: EMBEDDED_S3_REGION, bucket: options.bucket, ...options.services };
  const process = await startProcess({
    name: 's3',
    command: options.binary,
    args: serverArguments(data, configFile, ports),
    env: serverEnvironment({ GOGC: GC_PERCENT, GOMEMLIMIT: MEMORY_GOAL }),
    // The program reads security.toml from its working folder.
    cwd: options.dataFolder,
    logFile: options.logFile,
    signal: options.signal,
    stopGraceMs: options.stopGraceMs ?? STOP_GRACE_MS,
    readyTimeoutMs: READY_TIMEOUT_MS,
    isReady: () => isBucketWritable(target),
    ...(options.pidFile ? { pidFile: options.pidFile } : {}),
  });
  void process.exited.then(() => removeSockets(ports));
  return { process, ports, endpoint, region: EMBEDDED_S3_REGION, bucket: options.bucket };
}

function serverArguments(data: string, configFile: string, ports: SeaweedPorts): string[] {
  return [
    '-logtostderr=true',
    'server',
    `-dir=${data}`,
    '-ip=127.0.0.1',
    '-ip.bind=127.0.0.1',
    `-master.port=${ports.master}`,
    '-master.peers=none',
    '-master.electionTimeout=1s',
    '-master.telemetry=false',
    `-master.volumeSizeLimitMB=${VOLUME_SIZE_MIB}`,
    `-volume.port=${ports.volume}`,
    '-volume.max=0',
    '-volume.preStopSeconds=0',
    '-filer',
    `-filer.port=${ports.filer}`,
    '-s3',
    `-s3.port=${ports.s3}`,
    `-s3.config=${configFile}`,
    '-s3.iam=false',
    '-s3.autoCreateBucket=false',
    '-s3.port.iceberg=0',
    '-s3.port.lance=0',
  ];
}

/** Four ports whose gRPC twins are free too. */
export async function freeSeaweedPorts(): Promise<SeaweedPorts> {
  const next = (): Promise<number> => freePort({ withGrpc: true });
  return { master: await next(), volume: await next(), filer: await next(), s3: await next() };
}

/** The server leaves sockets named by port in /tmp when it is killed; the next one could not bind them. */
function removeSockets(ports: SeaweedPorts): void {
  for (const [part, port] of Object.entries(ports)) {
    rmSync(`/tmp/seaweedfs-${part}-${port}.sock`, { force: true });
    rmSync(`/tmp/seaweedfs-${part}-grpc-${port + GRPC_PORT_OFFSET}.sock`, { force: true });
  }
}
