import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProcessId } from '@millrace/embedded';
import { endProcesses, freePort, logTail, processTree, startProcess, startTicksOf } from '@millrace/embedded';
import { askOnce, modelOf } from './answers.ts';
import type { Endpoint } from './payloads.ts';
import { payloadsOf } from './payloads.ts';
import type { RunningServer, ServerContext } from './server.ts';

const FIRST_ANSWER_MODEL = 'mlp';
const FIRST_ANSWER_TIMEOUT_MS = 120_000;
const FIRST_ANSWER_POLL_MS = 2;
const STOP_GRACE_MS = 8_000;
/** Shells pass more to their children than a measurement should depend on. */
const PASSED_VARIABLES = ['PATH', 'HOME', 'LANG', 'TMPDIR'];
/** onnxruntime otherwise reports its use to its makers, on threads of the server that is measured. */
const NO_REPORTS = { ORT_DISABLE_TELEMETRY: '1' };

/** How a server is started as a process. */
export type ProcessCommand = {
  name: string;
  command: string;
  args: readonly string[];
  env: NodeJS.ProcessEnv;
  cwd?: string;
};

/** Starts a server as a process and waits for its first right answer; ends all that it started when none comes. */
export async function startServer(
  context: ServerContext,
  endpoint: Endpoint,
  build: (port: number) => ProcessCommand,
  headers: Record<string, string> = {},
): Promise<RunningServer> {
  const port = await freePort();
  const { name, command, args, env, cwd } = build(port);
  const passed = Object.fromEntries(PASSED_VARIABLES.map((key) => [key, process.env[key]]));
  const logFile = join(context.scratch, `${name}.log`);
  const started = performance.now();
  const child = await startProcess({
    name,
    command,
    args,
    env: { ...passed, ...NO_REPORTS, MODELS: context.models.folder, ...env },
    cwd: cwd ?? context.scratch,
    logFile,
    stopGraceMs: STOP_GRACE_MS,
    readyTimeoutMs: FIRST_ANSWER_TIMEOUT_MS,
    isReady: async () => true,
  });
  const stop = (): Promise<void> => endTree(child.pid, () => child.stop());
  const target = { origin: `http://127.0.0.1:${port}`, headers };
  try {
    await firstAnswer(context, endpoint, target, child.isRunning);
  } catch (error) {
    await stop();
    throw new Error(`${name}: ${(error as Error).message}\n${logTail(logFile)}`);
  }
  const startMs = performance.now() - started;
  return { ...target, startMs, notes: [], processes: () => [child.pid], stop };
}

async function firstAnswer(
  context: ServerContext,
  endpoint: Endpoint,
  target: { origin: string; headers: Record<string, string> },
  isRunning: () => boolean,
): Promise<void> {
  const model = modelOf(context.models.byName, FIRST_ANSWER_MODEL);
  const [payload] = payloadsOf({ rows: 1 }, model, endpoint.dialect);
  if (payload === undefined) throw new Error(`${model.name} has no rows`);
  const deadline = performance.now() + FIRST_ANSWER_TIMEOUT_MS;
  for (;;) {
    try {
      await askOnce(target, endpoint.path(model.name), endpoint.dialect, payload);
      return;
    } catch (error) {
      if (!isRunning()) throw new Error('it ended before it answered', { cause: error });
      if (context.signal.aborted || performance.now() > deadline) throw error;
    }
    await sleep(FIRST_ANSWER_POLL_MS);
  }
}

/** Ends a process and whatever it started, also what has a session of its own. */
async function endTree(root: number, stop: () => Promise<void>): Promise<void> {
  const tree = processTree(root).flatMap((pid): ProcessId[] => {
    const startTicks = startTicksOf(pid);
    return startTicks === null ? [] : [{ pid, startTicks }];
  });
  await stop();
  await endProcesses(tree, STOP_GRACE_MS);
}
