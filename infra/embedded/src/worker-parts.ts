import { mkdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { InfraCoordinates } from './coordinates.ts';
import { type Home, REPOSITORY_ROOT } from './home.ts';
import { LaunchError } from './launch-error.ts';
import type { Part } from './part.ts';
import { startProcess } from './process.ts';
import { type EnvironmentName, ensureEnvironment } from './python-env.ts';
import { userSettings } from './service-parts.ts';

const START_TIMEOUT_MS = 60_000;
/** A worker hands its job back and writes a last checkpoint before it goes. */
const STOP_GRACE_MS = 20_000;

/** A kind of worker: where its code is and what environments its pools use. */
export type WorkerKind = {
  name: 'training-worker' | 'conversion-worker' | 'analysis-worker';
  module: string;
  environments: Partial<Record<Pool, EnvironmentName>>;
};

/** The pools that workers can be started for; the services know the same (`workerPools` of the contracts). */
const POOLS = ['cpu', 'gpu', 'torch', 'analysis'] as const;

/** A queue of jobs that asks for hardware or for packages of its own. */
export type Pool = (typeof POOLS)[number];

/** The Python workers there are. */
export const WORKER_KINDS: readonly WorkerKind[] = [
  {
    name: 'training-worker',
    module: 'millrace_training',
    environments: { cpu: 'training', gpu: 'training-gpu', torch: 'torch' },
  },
  { name: 'conversion-worker', module: 'millrace_conversion', environments: { cpu: 'conversion' } },
  { name: 'analysis-worker', module: 'millrace_analysis', environments: { analysis: 'analysis' } },
];

/** What the workers are built from. */
export type WorkerContext = {
  home: Home;
  env: NodeJS.ProcessEnv;
  coordinates: InfraCoordinates;
  environmentsFolder: string;
};

/** Pools that this machine's workers serve: MILLRACE_WORKER_POOLS, else `cpu`. */
export function workerPools(env: NodeJS.ProcessEnv): Pool[] {
  const names = (env.MILLRACE_WORKER_POOLS ?? 'cpu').split(',').map((name) => name.trim());
  for (const name of names) {
    if (!POOLS.some((pool) => pool === name)) {
      const known = POOLS.join(', ');
      throw new LaunchError('workers', `MILLRACE_WORKER_POOLS names pools of ${known}; it holds '${name}'`);
    }
  }
  return names as Pool[];
}

/** Environments that the workers of these pools need. */
export function workerEnvironments(pools: readonly Pool[]): EnvironmentName[] {
  return WORKER_KINDS.flatMap((kind) => pools.flatMap((pool) => kind.environments[pool] ?? []));
}

/** One part for each worker and pool; a worker without an environment for a pool does not serve it. */
export function planWorkers(context: WorkerContext): Part[] {
  const pools = workerPools(context.env);
  return WORKER_KINDS.flatMap((kind) =>
    pools.flatMap((pool) => {
      const environment = kind.environments[pool];
      return environment ? [workerPart(kind, pool, environment, context)] : [];
    }),
  );
}

function workerPart(
  kind: WorkerKind,
  pool: Pool,
  environment: EnvironmentName,
  context: WorkerContext,
): Part {
  const name = pool === 'cpu' ? kind.name : `${kind.name}-${pool}`;
  const logFile = join(context.home.logs, `${name}.log`);
  const cache = join(context.home.data, `${name}-cache`);
  mkdirSync(cache, { recursive: true });
  const start: Part['start'] = async (signal) => {
    const made = await ensureEnvironment(environment, context.environmentsFolder, context.env);
    return startProcess({
      name,
      command: made.python,
      args: ['-m', `${kind.module}.worker`],
      env: { ...workerEnvironment(context), ...pythonPath(kind.name), ...poolSettings(pool, cache) },
      cwd: cache,
      logFile,
      signal,
      pidFile: join(context.home.pids, `${name}.pid`),
      stopGraceMs: STOP_GRACE_MS,
      readyTimeoutMs: START_TIMEOUT_MS,
      // It announces itself to the services once it can take jobs; jobs wait in the queue until then.
      isReady: async () => true,
    });
  };
  return { name, kind: 'worker', port: null, logFile, start };
}

function poolSettings(pool: Pool, cache: string): NodeJS.ProcessEnv {
  return { MILLRACE_WORKER_POOL: pool, MILLRACE_WORKER_CACHE_DIR: cache };
}

function workerEnvironment({ coordinates, env }: WorkerContext): NodeJS.ProcessEnv {
  const { nats, s3 } = coordinates;
  return {
    ...userSettings(env),
    MILLRACE_DATABASE_URL: undefined,
    MILLRACE_NATS_URL: nats.workerUrl,
    MILLRACE_NATS_INBOX_PREFIX: nats.workerInboxPrefix,
    MILLRACE_S3_ENDPOINT: s3.endpoint,
    MILLRACE_S3_REGION: s3.region,
    MILLRACE_S3_BUCKET: s3.bucket,
    MILLRACE_S3_ACCESS_KEY_ID: s3.workerAccessKeyId,
    MILLRACE_S3_SECRET_ACCESS_KEY: s3.workerSecretAccessKey,
    PYTHONUNBUFFERED: '1',
  };
}

/** Python path of a worker: the shared package and its own, run from their sources. */
export function pythonPath(worker: WorkerKind['name']): NodeJS.ProcessEnv {
  const folders = [join('libs', 'worker-py', 'src'), join('services', worker, 'src')];
  return { PYTHONPATH: folders.map((folder) => join(REPOSITORY_ROOT, folder)).join(delimiter) };
}
