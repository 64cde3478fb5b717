import { existsSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import type { InfraCoordinates } from './coordinates.ts';
import { type Home, REPOSITORY_ROOT } from './home.ts';
import type { KeyFiles } from './keys.ts';
import { LaunchError } from './launch-error.ts';
import { moduleBundleVariables } from './module-bundle.ts';
import type { Part } from './part.ts';
import { freePort, requirePort } from './ports.ts';
import { startProcess } from './process.ts';
import { sourceBundleVariables } from './source-bundle.ts';

/** Our services; the gateway is last because it speaks for the others. */
export const SERVICE_NAMES = [
  'datasets',
  'training-orchestrator',
  'converter',
  'registry',
  'inference',
  'monitoring',
  'gateway',
] as const;

/** Name of a service, which is also its folder. */
export type ServiceName = (typeof SERVICE_NAMES)[number];

const HOST = '127.0.0.1';
const DEFAULT_GATEWAY_PORT = 9926;
const DEFAULT_INFERENCE_PORT = 8081;
const DEFAULT_GRPC_PORT = 8082;
const READY_TIMEOUT_MS = 180_000;
const PROBE_TIMEOUT_MS = 3_000;
/** A service closes within 25 s by itself. */
const STOP_GRACE_MS = 27_000;
const NODE_MAJOR = 24;
/**
 * Young generation of each service, MiB. With V8's own bound an idle service holds 250 MB, most of it garbage that was
 * never collected; with 2 it holds 110, and 85 with the compile cache. The gateway carries request bodies; inference says itself why it
 * wants 1, and would otherwise start twice.
 */
const SEMI_SPACE_MIB: Partial<Record<ServiceName, number>> = { gateway: 8, inference: 1 };
const SEMI_SPACE_MIB_DEFAULT = 2;
/** Heap of the services that hold no request bodies and no buffers of events, MiB. */
const OLD_SPACE_MIB: Partial<Record<ServiceName, number>> = {
  datasets: 256,
  'training-orchestrator': 256,
  converter: 256,
  registry: 256,
};

/** Variables that speak to the launcher and mean nothing to a service. */
const LAUNCHER_VARIABLES = new Set([
  'MILLRACE_HOME',
  'MILLRACE_ENVS_DIR',
  'MILLRACE_PYTHON',
  'MILLRACE_GATEWAY_PORT',
  'MILLRACE_INFERENCE_PORT',
  'MILLRACE_GRPC_PORT',
  'MILLRACE_NATS_WORKER_URL',
  'MILLRACE_NATS_WORKER_INBOX_PREFIX',
  'MILLRACE_S3_WORKER_ACCESS_KEY_ID',
  'MILLRACE_S3_WORKER_SECRET_ACCESS_KEY',
  'MILLRACE_WORKER_POOLS',
  'MILLRACE_TEST_INFRA',
]);

/** What the services are built from. */
export type ServiceContext = {
  home: Home;
  env: NodeJS.ProcessEnv;
  coordinates: InfraCoordinates;
  keys: KeyFiles;
  /** Restart a service when a file of it changes. */
  isWatching: boolean;
  onNotice: (notice: string) => void;
};

type Prepared = ServiceContext & { bundle: NodeJS.ProcessEnv; sourceBundle: NodeJS.ProcessEnv };

/** A planned set of services and where they will listen; `grpc` is `host:port`. */
export type ServicePlan = {
  parts: Map<ServiceName, Part>;
  origins: Record<ServiceName, string>;
  grpc: string;
};

/** Ports of the services over HTTP, and of inference over gRPC. */
export type ServicePorts = Record<ServiceName | 'grpc', number>;

/** Chooses the ports; throws a LaunchError that names the fix when a fixed port is taken. */
export async function planServices(context: ServiceContext): Promise<ServicePlan> {
  const { isWatching, onNotice } = context;
  const [ports, bundle] = await Promise.all([
    choosePorts(context.env),
    // a file of a package that is touched restarts a watched service, so that reads it where it is
    isWatching ? {} : moduleBundleVariables(nodeBinary(), onNotice),
  ]);
  const isBundled = Object.keys(bundle).length > 0;
  const sourceBundle = isBundled ? await sourceBundleVariables(nodeBinary(), onNotice) : {};
  const origins = Object.fromEntries(
    SERVICE_NAMES.map((name) => [name, `http://${HOST}:${ports[name]}`]),
  ) as Record<ServiceName, string>;
  const parts = new Map<ServiceName, Part>();
  for (const name of SERVICE_NAMES)
    parts.set(name, servicePart(name, ports, origins, { ...context, bundle, sourceBundle }));
  return { parts, origins, grpc: `${HOST}:${ports.grpc}` };
}

/** The three fixed ports, taken from the environment where it names others; 0 takes any free port. */
export async function choosePorts(env: NodeJS.ProcessEnv): Promise<ServicePorts> {
  const fixed = async (part: string, variable: string, standard: number): Promise<number> => {
    const wanted = portNumber(part, variable, env[variable], standard);
    return wanted === 0 ? freePort() : requirePort(part, wanted, variable);
  };
  const ports = {} as ServicePorts;
  for (const name of SERVICE_NAMES) {
    if (name === 'gateway') ports[name] = await fixed(name, 'MILLRACE_GATEWAY_PORT', DEFAULT_GATEWAY_PORT);
    else if (name === 'inference') {
      ports[name] = await fixed(name, 'MILLRACE_INFERENCE_PORT', DEFAULT_INFERENCE_PORT);
    } else ports[name] = await freePort();
  }
  ports.grpc = await fixed('inference', 'MILLRACE_GRPC_PORT', DEFAULT_GRPC_PORT);
  return ports;
}

function portNumber(part: string, variable: string, text: string | undefined, standard: number): number {
  if (!text) return standard;
  const port = Number(text);
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port;
  throw new LaunchError(part, `${variable} must be a port from 0 to 65535, it is '${text}'`);
}

function servicePart(
  name: ServiceName,
  ports: ServicePorts,
  origins: Record<ServiceName, string>,
  context: Prepared,
): Part {
  const logFile = join(context.home.logs, `${name}.log`);
  const main = join(REPOSITORY_ROOT, 'services', name, 'src', 'main.ts');
  const health = createHealthProbe(`${origins[name]}/health/ready`);
  const start: Part['start'] = (signal) =>
    startProcess({
      name,
      command: nodeBinary(),
      args: [...nodeFlags(name, context.isWatching), main],
      env: serviceEnvironment(name, ports, origins, context),
      cwd: REPOSITORY_ROOT,
      logFile,
      signal,
      pidFile: join(context.home.pids, `${name}.pid`),
      stopGraceMs: STOP_GRACE_MS,
      readyTimeoutMs: READY_TIMEOUT_MS,
      isReady: health.isReady,
      whatIsMissing: health.lastAnswer,
    });
  return { name, kind: 'service', port: ports[name], logFile, start };
}

/** The flags of Node that bound the memory of a service. */
export function nodeFlags(name: ServiceName, isWatching = false): string[] {
  const flags = [`--max-semi-space-size=${SEMI_SPACE_MIB[name] ?? SEMI_SPACE_MIB_DEFAULT}`];
  if (OLD_SPACE_MIB[name]) flags.push(`--max-old-space-size=${OLD_SPACE_MIB[name]}`);
  return isWatching ? [...flags, '--watch', '--watch-preserve-output'] : flags;
}

/** The environment of a service: each gets the keys it needs and no other. */
function serviceEnvironment(
  name: ServiceName,
  ports: ServicePorts,
  origins: Record<ServiceName, string>,
  { coordinates, keys, env, home, bundle, sourceBundle }: Prepared,
): NodeJS.ProcessEnv {
  const { database, nats, s3 } = coordinates;
  return {
    ...userSettings(env),
    // Stripped and compiled sources are kept, so that a start is faster and the compiler stays out of memory.
    NODE_COMPILE_CACHE: env.NODE_COMPILE_CACHE ?? home.compileCache,
    ...bundle,
    MILLRACE_HOST: HOST,
    MILLRACE_PORT: String(ports[name]),
    MILLRACE_DATABASE_URL: database.url,
    MILLRACE_NATS_URL: nats.servicesUrl,
    MILLRACE_NATS_INBOX_PREFIX: nats.servicesInboxPrefix,
    MILLRACE_S3_ENDPOINT: s3.endpoint,
    MILLRACE_S3_REGION: s3.region,
    MILLRACE_S3_BUCKET: s3.bucket,
    MILLRACE_S3_ACCESS_KEY_ID: s3.accessKeyId,
    MILLRACE_S3_SECRET_ACCESS_KEY: s3.secretAccessKey,
    MILLRACE_AUTH_MODE: env.MILLRACE_AUTH_MODE ?? 'local',
    MILLRACE_AUTH_PUBLIC_KEY_FILE: keys.gatewayPublic,
    MILLRACE_SIGNING_PUBLIC_KEY_FILE: keys.registryPublic,
    ...(name === 'registry' ? { MILLRACE_SIGNING_KEY_FILE: keys.registryPrivate } : {}),
    ...(name === 'inference' ? { ...inferenceEnvironment(ports, home), ...sourceBundle } : {}),
    ...(name === 'gateway' ? gatewayEnvironment(keys, origins) : {}),
  };
}

function inferenceEnvironment(ports: ServicePorts, home: Home): NodeJS.ProcessEnv {
  return { MILLRACE_CACHE_DIR: join(home.data, 'inference-cache'), MILLRACE_GRPC_PORT: String(ports.grpc) };
}

function gatewayEnvironment(keys: KeyFiles, origins: Record<ServiceName, string>): NodeJS.ProcessEnv {
  const upstreams = SERVICE_NAMES.filter((name) => name !== 'gateway').map((name) => [
    `MILLRACE_UPSTREAM_${name.toUpperCase().replaceAll('-', '_')}`,
    origins[name],
  ]);
  return {
    MILLRACE_AUTH_KEY_FILE: keys.gatewayPrivate,
    MILLRACE_BOOTSTRAP_TOKEN_FILE: keys.token,
    ...Object.fromEntries(upstreams),
  };
}

/** What a child may see of the caller's shell: where programs are, and MILLRACE_* settings meant for services. */
export function userSettings(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const passed = ['PATH', 'HOME', 'LANG', 'TZ', 'TMPDIR', 'SSL_CERT_FILE', 'NODE_EXTRA_CA_CERTS'];
  const settings = Object.keys(env).filter(
    (name) => name.startsWith('MILLRACE_') && !LAUNCHER_VARIABLES.has(name),
  );
  return Object.fromEntries([...passed, ...settings].map((name) => [name, env[name]]));
}

function createHealthProbe(url: string): { isReady: () => Promise<boolean>; lastAnswer: () => string } {
  let last = 'no answer';
  return {
    lastAnswer: () => `${url} said: ${last}`,
    async isReady() {
      const response = await fetch(url, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
      last = `${response.status} ${await response.text()}`;
      return response.ok;
    },
  };
}

/** A Node that runs TypeScript as it is: this one, or the one that npm brought. */
export function nodeBinary(): string {
  if (Number(process.versions.node.split('.')[0]) >= NODE_MAJOR) return process.execPath;
  const brought = join(REPOSITORY_ROOT, 'node_modules', 'node', 'bin', 'node');
  if (existsSync(brought)) return realpathSync(brought);
  throw new LaunchError('node', `needs Node ${NODE_MAJOR}, which \`npm ci\` brings; run it first`);
}
