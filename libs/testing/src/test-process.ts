import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ManagedProcess, REPOSITORY_ROOT, startProcess } from '@millrace/embedded';
import { testInfra } from './test-infra.ts';

const READY_TIMEOUT_MS = 180_000;
const STOP_GRACE_MS = 20_000;

/** What to run for a test. */
export type TestProcessSpec = {
  name: string;
  command: string;
  args: readonly string[];
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  readyTimeoutMs?: number;
  /** Given the log so far; the process counts as ready once it is true. Without it, ready when spawned. */
  isReady?: (log: string) => boolean | Promise<boolean>;
};

/** A process of a test; stop it in afterAll, or the run fails and names it. */
export type TestProcess = ManagedProcess & {
  /** All it has written to stdout and stderr. */
  log(): string;
};

/** Starts a process with its log in the run's folder; it inherits PATH, HOME and where Node keeps compiled code. */
export async function startTestProcess(spec: TestProcessSpec): Promise<TestProcess> {
  const name = `${spec.name}-${randomBytes(4).toString('hex')}`;
  const { home } = testInfra();
  const { PATH, HOME, NODE_COMPILE_CACHE } = process.env;
  const logFile = join(home, 'logs', `${name}.log`);
  const log = (): string => readFileSync(logFile, 'utf8');
  const managed = await startProcess({
    name,
    command: spec.command,
    args: spec.args,
    cwd: spec.cwd ?? REPOSITORY_ROOT,
    env: { PATH, HOME, NODE_COMPILE_CACHE, ...spec.env },
    logFile,
    pidFile: join(home, 'pids', `${name}.pid`),
    stopGraceMs: STOP_GRACE_MS,
    readyTimeoutMs: spec.readyTimeoutMs ?? READY_TIMEOUT_MS,
    isReady: async () => (spec.isReady ? spec.isReady(log()) : true),
  });
  return { ...managed, log };
}

/** A service process and where it listens. */
export type ServiceProcess = TestProcess & { readonly origin: string };

/** Starts `services/<name>/src/main.ts` on a free port and waits until it says that it listens. */
export async function startServiceProcess(name: string, env: NodeJS.ProcessEnv): Promise<ServiceProcess> {
  const process_ = await startTestProcess({
    name,
    command: process.execPath,
    args: [join(REPOSITORY_ROOT, 'services', name, 'src', 'main.ts')],
    env: { ...testInfra().packages, MILLRACE_HOST: '127.0.0.1', MILLRACE_PORT: '0', ...env },
    isReady: (log) => listeningPort(log) !== null,
  });
  return { ...process_, origin: `http://127.0.0.1:${listeningPort(process_.log())}` };
}

/** The port a service's log says it listens on; null before it does. */
export function listeningPort(log: string): number | null {
  for (const line of log.split('\n')) {
    if (!line.includes('listening')) continue;
    try {
      const entry = JSON.parse(line) as { msg?: string; port?: number };
      if (entry.msg === 'listening' && typeof entry.port === 'number') return entry.port;
    } catch {
      // Not a log line of the service, or not wholly written yet.
    }
  }
  return null;
}
