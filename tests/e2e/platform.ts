import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Platform } from '@millrace/embedded';
import { environmentsRoot, openHome, processTree, startPlatform } from '@millrace/embedded';
import { eventually } from '@millrace/testing';

export type TestPlatform = {
  platform: Platform;
  /** Folder of the platform's state. */
  root: string;
  /** JSON in, JSON out, through the gateway. */
  call: (method: string, path: string, body?: unknown) => Promise<Answer>;
  stop: () => Promise<void>;
};

export type Answer = { status: number; headers: Headers; body: Json };

/** A JSON object whose fields a test knows by the contract. */
// biome-ignore lint/suspicious/noExplicitAny: a test reads fields of answers it has just checked by value
export type Json = Record<string, any>;

/** The whole platform, with servers, services and workers of its own, on free ports in a throwaway home. */
export async function startTestPlatform(env: Record<string, string> = {}): Promise<TestPlatform> {
  const root = mkdtempSync(join(tmpdir(), 'millrace-e2e-'));
  chmodSync(root, 0o755);
  const platform = await startPlatform({
    home: openHome(root),
    environmentsFolder: environmentsRoot(process.env),
    env: {
      ...process.env,
      // speaks to the tests, not to the services
      MILLRACE_TEST_LONG: undefined,
      MILLRACE_GATEWAY_PORT: '0',
      MILLRACE_INFERENCE_PORT: '0',
      MILLRACE_GRPC_PORT: '0',
      ...env,
    },
  });
  const origin = platform.connection.gateway;
  return {
    platform,
    root,
    async call(method, path, body) {
      const response = await fetch(`${origin}${path}`, {
        method,
        ...(body === undefined
          ? {}
          : body instanceof FormData
            ? { body }
            : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
      });
      const text = await response.text();
      return {
        status: response.status,
        headers: response.headers,
        body: text === '' ? {} : (JSON.parse(text) as Json),
      };
    },
    async stop() {
      await platform.stop();
      rmSync(root, { recursive: true, force: true });
    },
  };
}

const CLI = fileURLToPath(new URL('../../libs/cli/src/main.ts', import.meta.url));

/** Runs `millrace` against the platform; what it writes to stdout. Rejects with `code` and `stderr` when it fails. */
export async function cli({ root }: TestPlatform, ...args: string[]): Promise<string> {
  const env = { ...process.env, MILLRACE_HOME: root };
  return (await promisify(execFile)(process.execPath, ['--no-warnings', CLI, ...args], { env })).stdout;
}

/** Process id of a part of the platform; throws when it does not run. */
export function pidOf({ platform }: TestPlatform, part: string): number {
  const found = platform.state().parts.find((candidate) => candidate.name === part);
  if (found?.pid === null || found?.pid === undefined) throw new Error(`${part} does not run`);
  return found.pid;
}

/** Kills a part of the platform as a crash would; the launcher starts it again. */
export function crash(test: TestPlatform, part: string): void {
  process.kill(pidOf(test, part), 'SIGKILL');
}

/**
 * Stops a part with all its processes (SIGSTOP) while `work` runs: its connections stay open and nothing answers, as
 * behind a dead network. Lets it go on afterwards, whatever came of the work.
 */
export async function whileHeld<T>(test: TestPlatform, part: string, work: () => Promise<T>): Promise<T> {
  const tree = processTree(pidOf(test, part));
  for (const pid of tree) process.kill(pid, 'SIGSTOP');
  try {
    return await work();
  } finally {
    for (const pid of tree) process.kill(pid, 'SIGCONT');
  }
}

/** Waits until a pipeline ends; throws with its error unless it succeeded. */
export async function pipelineDone(test: TestPlatform, id: string, timeoutMs: number): Promise<Json> {
  return eventually(
    async () => {
      const { status, body } = await test.call('GET', `/v1/pipelines/${id}`);
      // while a server is away the answer is a 503, never anything else
      if (status !== 200) throw new Error(`${status} ${body.code}`);
      if (body.state === 'running') throw new Error(`still at ${body.stage}`);
      return body;
    },
    { timeoutMs, intervalMs: 200 },
  );
}
