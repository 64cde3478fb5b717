import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LaunchError } from './launch-error.ts';
import { isStopped, startTicksOf, writePidFile } from './pid-file.ts';
import { processTree } from './process-tree.ts';

const READY_POLL_MS = 20;
/** A log over this is moved to `<name>.1` at the next start; one older log is kept. */
const LOG_MAX_BYTES = 16 * 1024 * 1024;
const LOG_TAIL_LINES = 12;

/** What to run and how to know that it runs. */
export type ProcessSpec = {
  name: string;
  command: string;
  args: readonly string[];
  env: NodeJS.ProcessEnv;
  logFile: string;
  pidFile?: string;
  cwd?: string;
  user?: { uid: number; gid: number };
  /** Signal that asks for a clean end; SIGTERM unless the program has its own. */
  stopSignal?: NodeJS.Signals;
  /** How long a clean end may take before SIGKILL. */
  stopGraceMs: number;
  readyTimeoutMs: number;
  /** Polled until true; may throw, which counts as not ready. */
  isReady: (pid: number) => Promise<boolean>;
  /** Ends a start that is under way. */
  signal?: AbortSignal | undefined;
  /** What was still missing, for the message when the wait is over. */
  whatIsMissing?: () => string;
};

export type ProcessExit = { code: number | null; signal: NodeJS.Signals | null };

/** A child process that was started here and is ended here, by its id. */
export type ManagedProcess = {
  readonly name: string;
  readonly pid: number;
  readonly logFile: string;
  /** Settles when the process has ended, however it came about. */
  readonly exited: Promise<ProcessExit>;
  isRunning(): boolean;
  /** Clean end: stop signal, then SIGKILL to the whole group after the grace. */
  stop(): Promise<void>;
  /** SIGKILL to the process and its children at once, as a crash would. */
  killHard(): Promise<void>;
  /** SIGSTOP: the process stays but answers nothing; resolves once it has stopped. */
  pause(): Promise<void>;
  /** SIGCONT after pause(). */
  resume(): void;
};

/** Starts a process in a group of its own and waits until it is ready; throws a LaunchError that names its log. */
export async function startProcess(spec: ProcessSpec): Promise<ManagedProcess> {
  const child = await spawnLogged(spec);
  const managed = manage(spec, child);
  if (spec.pidFile) writePidFile(spec.pidFile, managed.pid);
  try {
    await waitUntilReady(spec, managed);
  } catch (error) {
    await managed.killHard();
    throw error;
  }
  return managed;
}

async function spawnLogged(spec: ProcessSpec): Promise<ChildProcess> {
  mkdirSync(dirname(spec.logFile), { recursive: true });
  rotate(spec.logFile);
  const log = openSync(spec.logFile, 'a', 0o600);
  const child = spawn(spec.command, spec.args, {
    env: spec.env,
    stdio: ['ignore', log, log],
    detached: true,
    ...(spec.cwd ? { cwd: spec.cwd } : {}),
    ...(spec.user ?? {}),
  });
  closeSync(log);
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) =>
      reject(new LaunchError(spec.name, `cannot run ${spec.command}: ${cause.message}`, { cause })),
    );
  });
  return child;
}

function manage(spec: ProcessSpec, child: ChildProcess): ManagedProcess {
  const pid = child.pid as number;
  let ended = false;
  const exited = new Promise<ProcessExit>((resolve) => {
    child.once('exit', (code, signal) => {
      ended = true;
      if (spec.pidFile) rmSync(spec.pidFile, { force: true });
      resolve({ code, signal });
    });
  });
  const send = (signal: NodeJS.Signals, target: number): void => {
    if (ended) return;
    try {
      process.kill(target, signal);
    } catch {
      // It ended in this instant; `exited` tells.
    }
  };
  const killHard = async (): Promise<void> => {
    send('SIGKILL', -pid);
    await exited;
  };
  return {
    name: spec.name,
    pid,
    logFile: spec.logFile,
    exited,
    isRunning: () => !ended,
    killHard,
    // Postgres puts each backend in a session of its own, so the tree is walked rather than the group signalled.
    async pause() {
      const tree = processTree(pid);
      for (const member of tree) send('SIGSTOP', member);
      while (!ended && !tree.every((member) => isStopped(member) || startTicksOf(member) === null))
        await delay(1);
    },
    resume() {
      for (const member of processTree(pid)) send('SIGCONT', member);
    },
    async stop() {
      send(spec.stopSignal ?? 'SIGTERM', pid);
      const timer = new AbortController();
      const late = delay(spec.stopGraceMs, 'late', { signal: timer.signal }).catch(() => 'ended');
      if ((await Promise.race([exited, late])) === 'late') await killHard();
      timer.abort();
    },
  };
}

async function waitUntilReady(spec: ProcessSpec, managed: ManagedProcess): Promise<void> {
  const deadline = Date.now() + spec.readyTimeoutMs;
  for (;;) {
    if (!managed.isRunning()) {
      const { code, signal } = await managed.exited;
      const how = signal ? `was ended by ${signal}` : `ended with code ${code}`;
      throw new LaunchError(spec.name, `${how} before it was ready:\n${logTail(spec.logFile)}\n`, {
        logFile: spec.logFile,
      });
    }
    if (await spec.isReady(managed.pid).catch(() => false)) return;
    if (spec.signal?.aborted) throw new LaunchError(spec.name, 'was asked to stop while it started');
    if (Date.now() > deadline) {
      const missing = spec.whatIsMissing?.() ?? logTail(spec.logFile);
      const message = `not ready after ${spec.readyTimeoutMs / 1000} s:\n${missing}\n`;
      throw new LaunchError(spec.name, message, { logFile: spec.logFile });
    }
    await delay(READY_POLL_MS);
  }
}

/** The last lines of a log, for a message; empty when there is none. A JSON line is put as a sentence. */
export function logTail(logFile: string, lines = LOG_TAIL_LINES): string {
  try {
    return readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-lines).map(asSentence).join('\n');
  } catch {
    return '';
  }
}

function asSentence(line: string): string {
  if (!line.startsWith('{')) return line;
  try {
    const { level, msg, err } = JSON.parse(line) as {
      level?: string;
      msg?: string;
      err?: { message?: string };
    };
    if (!msg) return line;
    return [`${level ?? 'log'}:`, msg, err?.message].filter(Boolean).join(' ');
  } catch {
    return line;
  }
}

function rotate(logFile: string): void {
  try {
    if (statSync(logFile).size > LOG_MAX_BYTES) renameSync(logFile, `${logFile}.1`);
  } catch {
    // No log yet.
  }
}
