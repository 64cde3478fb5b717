import { mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { natsConfig } from './nats-config.ts';
import { freePort } from './ports.ts';
import { type ManagedProcess, startProcess } from './process.ts';
import { serverEnvironment } from './server-environment.ts';

const READY_TIMEOUT_MS = 60_000;
const STOP_GRACE_MS = 5_000;
const PROBE_TIMEOUT_MS = 500;

/** How to start an embedded NATS server. */
export type NatsOptions = {
  /** The program, from the tools environment. */
  binary: string;
  dataFolder: string;
  logFile: string;
  pidFile?: string;
  servicesPassword: string;
  workerPassword: string;
  port?: number;
  stopGraceMs?: number;
  /** Ends a start that is under way. */
  signal?: AbortSignal | undefined;
  /** False only in tests of other things: each write is then synced in the background. */
  isSyncAlways?: boolean;
};

/** A running embedded NATS server with JetStream. */
export type EmbeddedNats = {
  readonly process: ManagedProcess;
  readonly port: number;
  /** URL of the user `services`; its replies come to `_INBOX_services.>`. */
  readonly servicesUrl: string;
  /** URL of the user `worker`; its replies come to `_INBOX_worker.>`. */
  readonly workerUrl: string;
};

/** Starts NATS on loopback with its own configuration (mode 0600) and two users. */
export async function startNats(options: NatsOptions): Promise<EmbeddedNats> {
  const port = options.port ?? (await freePort());
  const store = join(options.dataFolder, 'jetstream');
  mkdirSync(store, { recursive: true, mode: 0o700 });
  const configFile = join(options.dataFolder, 'nats.conf');
  writeFileSync(configFile, natsConfig({ ...options, port, store }), { mode: 0o600 });
  const process = await startProcess({
    name: 'nats',
    command: options.binary,
    args: ['--config', configFile],
    env: serverEnvironment(),
    cwd: options.dataFolder,
    logFile: options.logFile,
    signal: options.signal,
    stopGraceMs: options.stopGraceMs ?? STOP_GRACE_MS,
    readyTimeoutMs: READY_TIMEOUT_MS,
    isReady: () => greets(port),
    ...(options.pidFile ? { pidFile: options.pidFile } : {}),
  });
  return {
    process,
    port,
    servicesUrl: natsUrl('services', options.servicesPassword, port),
    workerUrl: natsUrl('worker', options.workerPassword, port),
  };
}

/** URL of one of the two users on loopback. */
export function natsUrl(user: 'services' | 'worker', password: string, port: number): string {
  return `nats://${user}:${encodeURIComponent(password)}@127.0.0.1:${port}`;
}

/** True when the server sends its INFO line, which it does only after JetStream has recovered. */
function greets(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const finish = (isReady: boolean): void => {
      socket.destroy();
      resolve(isReady);
    };
    socket.setTimeout(PROBE_TIMEOUT_MS, () => finish(false));
    socket.once('error', () => finish(false));
    socket.once('data', (data) => finish(data.toString('latin1').startsWith('INFO ')));
  });
}
