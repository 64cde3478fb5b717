import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import {
  type Connection,
  homeRoot,
  LaunchError,
  logTail,
  openHome,
  readConnection,
  readPlatformState,
} from '@millrace/embedded';
import { readOptions, runScript } from './lib/command-line.ts';
import { createReporter, type Reporter } from './lib/reporter.ts';
import { runPlatform } from './lib/run-platform.ts';

const USAGE = `npm run up [-- --detach]

Starts Postgres, NATS, S3, all services and the Python workers, and stays in the foreground until Ctrl-C.
  --detach  start in the background and return when all is ready; \`npm run down\` ends it
  --watch   restart a service when one of its files changes (\`npm run dev\`)
  --only X  only these parts, by name or kind: --only server, --only postgres,nats
  --help    this text

Environment: MILLRACE_HOME, MILLRACE_GATEWAY_PORT (9926), MILLRACE_INFERENCE_PORT (8081), MILLRACE_GRPC_PORT (8082),
MILLRACE_WORKER_POOLS (cpu); MILLRACE_DATABASE_URL, MILLRACE_NATS_URL, MILLRACE_S3_ENDPOINT with its keys use servers of
yours.`;

const POLL_MS = 100;

const options = readOptions({
  usage: USAGE,
  options: { detach: { type: 'boolean' }, watch: { type: 'boolean' }, only: { type: 'string' } },
});
const reporter = createReporter();

async function foreground(): Promise<number> {
  const running = await runPlatform(reporter, {
    isWatching: options.watch === true,
    only: options.only?.split(','),
  });
  announce(running.platform.connection);
  reporter.line('Ctrl-C stops everything.');
  try {
    await running.ended;
  } finally {
    await running.stop();
  }
  return 0;
}

async function detached(): Promise<number> {
  const home = openHome(homeRoot(process.env));
  if (readConnection(home.connectionFile)) {
    throw new LaunchError('platform', '`npm run status` shows that it runs already; `npm run down` ends it');
  }
  const logFile = join(home.logs, 'supervisor.log');
  const log = openSync(logFile, 'w', 0o600);
  const entry = join(dirname(fileURLToPath(import.meta.url)), 'up.mjs');
  const args = [...process.execArgv, entry, ...(options.watch ? ['--watch'] : [])];
  if (options.only) args.push('--only', options.only);
  const child = spawn(process.execPath, args, { detached: true, stdio: ['ignore', log, log] });
  closeSync(log);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => child.kill('SIGTERM'));
  const exit = new Promise<number>((resolve) => child.once('exit', (code) => resolve(code ?? 1)));
  const connection = await Promise.race([waitForConnection(home, reporter), exit]);
  if (typeof connection === 'number') {
    throw new LaunchError('platform', `did not start:\n${logTail(logFile)}\n`, { logFile });
  }
  reporter.clear();
  announce(connection);
  reporter.line('It runs in the background: `npm run status` shows it, `npm run down` ends it.');
  child.unref();
  return 0;
}

async function waitForConnection(home: ReturnType<typeof openHome>, report: Reporter): Promise<Connection> {
  for (;;) {
    const connection = readConnection(home.connectionFile);
    if (connection) return connection;
    const parts = readPlatformState(home.stateFile)?.parts ?? [];
    const waiting = parts.filter((part) => part.status !== 'running').map((part) => part.name);
    report.progress(`starting ${waiting.join(', ')}`.trim(), waiting.join());
    await delay(POLL_MS);
  }
}

function announce({ gateway, grpc }: Connection): void {
  reporter.line(`\nMillrace is up at ${gateway} (API: ${gateway}/docs; gRPC: ${grpc})`);
}

await runScript(options.detach ? detached : foreground);
