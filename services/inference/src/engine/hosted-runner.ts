import { AppError } from '@millrace/contracts';
import type { Host } from './host.ts';
import { startHost } from './host.ts';
import type { Runner, RunnerState } from './runner.ts';
import type { GraphFile } from './runtime-session.ts';

/** This many crashes within the window take a model out of service. */
const CRASHES_MAX = 3;
const CRASH_WINDOW_MS = 10 * 60_000;
/** First wait before a restart; doubled for each crash in the window. */
const RESTART_MIN_MS = 100;

export type HostBounds = {
  /** Start of the process and load of the graph (ms). */
  readonly loadMs: number;
  /** One run; a host that takes longer is killed (ms). */
  readonly runMs: number;
  /** Outputs of one run (bytes). */
  readonly outputBytesMax: number;
  /** Memory of a host; one that takes more is killed (bytes). */
  readonly memoryBytesMax: number;
};

export type HostedRunnerOptions = {
  /** A host that has the graph already. */
  first?: Host;
  graph: GraphFile;
  /** Hosts in all; each has its own copy of the model. */
  hosts: number;
  threads: number;
  bounds: HostBounds;
  /** Memory of a host after warm-up, less that of an empty host (bytes). */
  residentBytes: number;
  log(message: string, fields: Record<string, unknown>): void;
};

/** Runs a slow model in processes of its own: restarts one that crashes, gives up after three crashes. */
export async function createHostedRunner(options: HostedRunnerOptions): Promise<Runner> {
  const { graph, threads, bounds } = options;
  const hosts: Host[] = [];
  const memory = new Map<Host, number>();
  const crashes: number[] = [];
  const timers = new Set<NodeJS.Timeout>();
  let changed: () => void = () => undefined;
  let isClosed = false;
  let quarantine: AppError | undefined;

  async function fresh(): Promise<Host> {
    const host = await startHost(bounds.loadMs, bounds.memoryBytesMax);
    try {
      await host.load(graph, { threads, outputBytesMax: bounds.outputBytesMax }, bounds.loadMs);
    } catch (error) {
      host.kill();
      throw error;
    }
    return host;
  }

  function adopt(host: Host): void {
    hosts.push(host);
    memory.set(host, options.residentBytes);
    host.onCrash((error) => onCrash(host, error));
  }

  function onCrash(host: Host, error: AppError): void {
    hosts.splice(hosts.indexOf(host), 1);
    memory.delete(host);
    noteCrash(error);
  }

  function noteCrash(error: AppError): void {
    const now = Date.now();
    crashes.push(now);
    while ((crashes[0] as number) < now - CRASH_WINDOW_MS) crashes.shift();
    options.log('A model host ended', { error: error.message, crashes: crashes.length });
    if (crashes.length >= CRASHES_MAX) {
      quarantine = new AppError(
        'model_crashed',
        `The model crashed its host ${CRASHES_MAX} times within ${CRASH_WINDOW_MS / 60_000} minutes and is out of service; unload it to try again.`,
      );
      for (const other of hosts) other.kill();
      hosts.length = 0;
    } else restartLater(RESTART_MIN_MS * 2 ** (crashes.length - 1));
    changed();
  }

  function restartLater(waitMs: number): void {
    const timer = setTimeout(() => {
      timers.delete(timer);
      void fresh().then(
        (host) => {
          if (isClosed || quarantine !== undefined) return host.kill();
          adopt(host);
          changed();
        },
        (error: unknown) => {
          if (!isClosed && quarantine === undefined) noteCrash(error as AppError);
        },
      );
    }, waitMs);
    timers.add(timer);
  }

  const state = (): RunnerState => {
    if (isClosed) return 'closed';
    if (quarantine !== undefined) return 'quarantined';
    return hosts.some((host) => host.isAlive()) ? 'ready' : 'restarting';
  };

  if (options.first !== undefined) adopt(options.first);
  while (hosts.length < options.hosts) adopt(await fresh());
  return {
    placement: 'host',
    state,
    capacity: () => hosts.reduce((total, host) => total + host.freeSlots(), 0),
    fault: () => quarantine,
    async run(inputs, outputs) {
      const host = hosts.reduce<Host | undefined>(
        (best, next) => (next.freeSlots() > (best?.freeSlots() ?? 0) ? next : best),
        undefined,
      );
      if (host === undefined) throw new AppError('model_crashed', 'The model host is being restarted.');
      const result = await host.run(inputs, outputs, bounds.runMs);
      memory.set(host, Math.max(0, result.residentBytes - host.emptyBytes));
      return result;
    },
    onChange(listener) {
      changed = listener;
    },
    residentBytes: () => [...memory.values()].reduce((total, bytes) => total + bytes, 0),
    pids: () => hosts.map((host) => host.pid),
    async close() {
      isClosed = true;
      for (const timer of timers) clearTimeout(timer);
      for (const host of hosts) host.kill();
      hosts.length = 0;
    },
  };
}
