import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { testInfra } from '@millrace/testing';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** The service as processes of its own: a supervisor and its fronts. */
export type ServerProcess = {
  readonly origin: string;
  readonly pid: number;
  /** Process ids of the fronts that run now. */
  frontPids(): number[];
  /** Those of them that listen. */
  listeningPids(): number[];
  /** Ends it with SIGTERM; resolves with its exit code. */
  stop(): Promise<number | null>;
};

function isFrontOf(pid: number, parent: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [, parentPid] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (
      Number(parentPid) === parent && readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('front-main')
    );
  } catch {
    return false;
  }
}

/** Starts it with `fronts` fronts and resolves when all of them listen. */
export async function startServerProcess(env: NodeJS.ProcessEnv, fronts: number): Promise<ServerProcess> {
  const child = spawn(process.execPath, ['--no-warnings', MAIN], {
    env: {
      NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE,
      ...testInfra().packages,
      ...env,
      MILLRACE_FRONTS: String(fronts),
      MILLRACE_LOG_LEVEL: 'info',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const pid = child.pid as number;
  const exited = once(child, 'exit');
  const listening = new Set<number>();
  let text = '';
  const origin = await new Promise<string>((resolve, reject) => {
    void exited.then(() => reject(new Error(`The service ended:\n${text}`)));
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const lines = text.split('\n');
      for (const line of lines) {
        const found = /"front":(\d+).*"port":(\d+).*"msg":"listening"/.exec(line);
        if (found === null) continue;
        listening.add(Number(found[1]));
        if (listening.size === fronts) resolve(`http://127.0.0.1:${found[2]}`);
      }
      // what is kept tells why the service ended, if it does
      text = lines.slice(-20).join('\n');
    });
  });
  const frontPids = (): number[] =>
    readdirSync('/proc')
      .map(Number)
      .filter((candidate) => candidate > 0 && isFrontOf(candidate, pid));
  return {
    origin,
    pid,
    frontPids,
    listeningPids: () => frontPids().filter((front) => listening.has(front)),
    async stop() {
      child.kill('SIGTERM');
      const [code] = (await exited) as [number | null];
      return code;
    },
  };
}
