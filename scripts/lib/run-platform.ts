import {
  environmentsRoot,
  homeRoot,
  openHome,
  type Platform,
  startPlatform,
  workerEnvironments,
  workerPools,
} from '@millrace/embedded';
import { prepareEnvironments } from './environments.ts';
import type { Reporter } from './reporter.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** A platform that runs in this process, and the wish to end it. */
export type ForegroundPlatform = {
  readonly platform: Platform;
  /** Aborted by Ctrl-C, SIGTERM or a closed terminal. */
  readonly signal: AbortSignal;
  /** Resolves when the user wants to end it; rejects when this process has a fault, and it should be stopped too. */
  readonly ended: Promise<void>;
  /** Stops all parts and says how it went. */
  stop(): Promise<void>;
};

/** Prepares environments and starts the platform with a line for each part; Ctrl-C at any time stops everything. */
export async function runPlatform(
  reporter: Reporter,
  options: { isWatching?: boolean; only?: readonly string[] | undefined } = {},
): Promise<ForegroundPlatform> {
  const abort = new AbortController();
  for (const signal of SIGNALS) process.on(signal, () => abort.abort());
  const ended = new Promise<void>((resolve, reject) => {
    abort.signal.addEventListener('abort', () => resolve(), { once: true });
    process.on('uncaughtException', reject);
  });
  ended.catch(() => abort.abort());
  await prepareEnvironments(workerEnvironments(workerPools(process.env)), reporter);
  reporter.progress('starting servers, services and workers', 'starting');
  const platform = await startPlatform(
    {
      home: openHome(homeRoot(process.env)),
      environmentsFolder: environmentsRoot(process.env),
      env: process.env,
      ...options,
      onReady: (part, elapsedMs) => reporter.part(part, elapsedMs),
      onMessage: (message) => reporter.line(`  ! ${message}`),
    },
    abort.signal,
  );
  return {
    platform,
    signal: abort.signal,
    ended,
    async stop() {
      reporter.line('Stopping: workers, services, servers ...');
      await platform.stop();
      reporter.line('Stopped.');
    },
  };
}
