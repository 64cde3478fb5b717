import { readFileSync, rmSync } from 'node:fs';
import { type Connection, removeConnection, writeConnection } from './connection.ts';
import type { InfraCoordinates } from './coordinates.ts';
import { tryLock } from './folder-lock.ts';
import type { Home } from './home.ts';
import { planInfrastructure } from './infrastructure.ts';
import { ensureKeys } from './keys.ts';
import { LaunchError } from './launch-error.ts';
import type { Part } from './part.ts';
import { endProcesses, livePids, readPidFile, startTicksOf } from './pid-file.ts';
import { type PlatformState, writePlatformState } from './platform-state.ts';
import { ensureEnvironment } from './python-env.ts';
import { planServices, type ServicePlan } from './service-parts.ts';
import { createSupervisor, type Supervisor } from './supervisor.ts';
import { planWorkers } from './worker-parts.ts';

const LEFTOVER_GRACE_MS = 5_000;
const LOCK_ATTEMPTS = 3;

/** How to start the platform. */
export type PlatformOptions = {
  home: Home;
  environmentsFolder: string;
  env: NodeJS.ProcessEnv;
  isWatching?: boolean;
  /** Start only these: names of parts, or kinds (`server`, `service`, `worker`). All when absent. */
  only?: readonly string[] | undefined;
  /** Called when a part has become ready, with how long it took. */
  onReady?: (part: string, elapsedMs: number) => void;
  /** Called with a sentence for the user: a notice, a crash, a restart. */
  onMessage?: (message: string) => void;
};

/** A running platform. */
export type Platform = {
  readonly connection: Connection;
  state(): PlatformState;
  /** Stops all parts: workers, gateway, services, servers; safe to call more than once. */
  stop(): Promise<void>;
};

/**
 * Starts servers, then services and workers, and writes connection.json last. Throws a LaunchError when a platform
 * runs already or a part does not start; what had started is stopped again. An aborted signal does the same.
 */
export async function startPlatform(options: PlatformOptions, signal?: AbortSignal): Promise<Platform> {
  const { home } = options;
  takeHome(home);
  const launcher = createLauncher(options);
  signal?.addEventListener('abort', () => void launcher.stop(), { once: true });
  try {
    await endLeftovers(home, options);
    const connection = await bringUp(options, launcher);
    launcher.publish(connection);
    return { connection, state: launcher.state, stop: launcher.stop };
  } catch (error) {
    await launcher.stop();
    throw error;
  }
}

type Launcher = {
  supervisor: Supervisor;
  state: () => PlatformState;
  /** Writes connection.json, and again when a process id changes. */
  publish: (connection: Connection) => void;
  startAll: (parts: readonly Part[]) => Promise<void>;
  stop: () => Promise<void>;
};

function createLauncher(options: PlatformOptions): Launcher {
  const { home, onReady, onMessage } = options;
  const startedAt = new Date().toISOString();
  let phase: PlatformState['phase'] = 'starting';
  let stopped: Promise<void> | null = null;
  const state = (): PlatformState => ({
    supervisor: { pid: process.pid, startTicks: startTicksOf(process.pid) ?? 0 },
    startedAt,
    phase,
    parts: supervisor.states(),
  });
  let connection: Connection | null = null;
  const save = (): void => {
    writePlatformState(home.stateFile, state());
    // A part that was started again has another process id.
    if (connection && phase === 'ready') {
      writeConnection(home.connectionFile, { ...connection, pids: pidsOf(state()) });
    }
  };
  const supervisor = createSupervisor({ onChange: save, onMessage: (message) => onMessage?.(message) });
  const setPhase = (next: PlatformState['phase']): void => {
    phase = next;
    save();
  };
  const publish = (ready: Connection): void => {
    connection = ready;
    setPhase('ready');
  };
  const stopAll = async (): Promise<void> => {
    setPhase('stopping');
    removeConnection(home.connectionFile);
    await supervisor.stop(stopOrder(supervisor));
    for (const file of [home.stateFile, home.lockFile]) rmSync(file, { force: true });
  };
  return {
    supervisor,
    state,
    publish,
    async startAll(parts) {
      const results = await Promise.allSettled(
        parts.map(async (part) => {
          const before = performance.now();
          await supervisor.start(part);
          onReady?.(part.name, performance.now() - before);
        }),
      );
      const failure = results.find((result) => result.status === 'rejected');
      if (failure) throw failure.reason;
    },
    stop() {
      stopped ??= stopAll();
      return stopped;
    },
  };
}

/** Those who take work first, then those who do it, then what it is stored in; Postgres is the truth and ends last. */
function stopOrder(supervisor: Supervisor): string[][] {
  const parts = supervisor.states();
  const services = parts.filter((part) => part.kind === 'service').map((part) => part.name);
  const servers = parts.filter((part) => part.kind === 'server').map((part) => part.name);
  return [
    ['gateway', ...parts.filter((part) => part.kind === 'worker').map((part) => part.name)],
    services.filter((name) => name !== 'gateway'),
    servers.filter((name) => name !== 'postgres'),
    ['postgres'],
  ];
}

async function bringUp(options: PlatformOptions, launcher: Launcher): Promise<Connection> {
  const { home, env, environmentsFolder, onMessage } = options;
  const keys = ensureKeys(home.keys);
  const tools = await ensureEnvironment('tools', environmentsFolder, env);
  const infra = await planInfrastructure({
    home,
    env,
    toolsFolder: tools.folder,
    onNotice: (notice) => onMessage?.(notice),
  });
  const { coordinates } = infra;
  const isWatching = options.isWatching ?? false;
  const services = await planServices({
    home,
    env,
    coordinates,
    keys,
    isWatching,
    onNotice: (notice) => onMessage?.(notice),
  });
  const workers = planWorkers({ home, env, coordinates, environmentsFolder });
  const tiers = [infra.parts, [...services.parts.values()], workers];
  checkOnly(options.only, tiers.flat());
  const isWanted = ({ name, kind }: Part): boolean =>
    options.only === undefined || options.only.includes(name) || options.only.includes(kind);
  for (const tier of tiers) await launcher.startAll(tier.filter(isWanted));
  return connectionOf(coordinates, services, readFileSync(keys.token, 'utf8').trim(), launcher.state());
}

function checkOnly(only: readonly string[] | undefined, parts: readonly Part[]): void {
  const known = new Set(parts.flatMap(({ name, kind }) => [name, kind]));
  const unknown = only?.filter((name) => !known.has(name)) ?? [];
  if (unknown.length === 0) return;
  throw new LaunchError(
    'platform',
    `no such part: ${unknown.join(', ')}; there are ${[...known].join(', ')}`,
  );
}

function connectionOf(
  coordinates: InfraCoordinates,
  services: ServicePlan,
  token: string,
  state: PlatformState,
): Connection {
  const { endpoint, region, bucket, accessKeyId, secretAccessKey } = coordinates.s3;
  return {
    gateway: services.origins.gateway,
    inference: services.origins.inference,
    grpc: services.grpc,
    nats: coordinates.nats.servicesUrl,
    database: coordinates.database.url,
    s3: { endpoint, region, bucket, accessKeyId, secretAccessKey },
    token,
    pids: pidsOf(state),
    supervisorStartTicks: state.supervisor.startTicks,
  };
}

function pidsOf(state: PlatformState): Record<string, number> {
  const parts = state.parts.flatMap((part) => (part.pid === null ? [] : [[part.name, part.pid] as const]));
  return { supervisor: state.supervisor.pid, ...Object.fromEntries(parts) };
}

/** One platform a home: the lock names the process that runs it. */
function takeHome(home: Home): void {
  for (let attempt = 0; attempt < LOCK_ATTEMPTS; attempt += 1) if (tryLock(home.lockFile)) return;
  const holder = readPidFile(home.lockFile);
  throw new LaunchError(
    'platform',
    `runs already in ${home.root} (process ${holder?.pid ?? 'unknown'}); \`npm run status\` shows it, \`npm run down\` ends it`,
  );
}

/** A supervisor that was killed could not stop its parts; they hold its data and must go first. */
async function endLeftovers(home: Home, options: PlatformOptions): Promise<void> {
  const left = [...livePids(home.pids)].filter(([, id]) => id.pid !== process.pid);
  if (left.length === 0) return;
  const names = left.map(([name, id]) => `${name} (${id.pid})`).join(', ');
  options.onMessage?.(`ending what an earlier run left behind: ${names}`);
  await endProcesses(
    left.map(([, id]) => id),
    LEFTOVER_GRACE_MS,
  );
}

/** Ends the platform of a home from outside; false when nothing ran. Waits until every process is gone. */
export async function stopPlatform(home: Home, timeoutMs: number): Promise<boolean> {
  const supervisor = readPidFile(home.lockFile);
  const before = livePids(home.pids);
  if (supervisor) await endProcesses([supervisor], timeoutMs);
  await endProcesses([...livePids(home.pids).values()], LEFTOVER_GRACE_MS);
  for (const file of [home.stateFile, home.lockFile]) rmSync(file, { force: true });
  removeConnection(home.connectionFile);
  return before.size > 0;
}
