import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { nodeBinary, REPOSITORY_ROOT } from '@millrace/embedded';

const run = promisify(execFile);
const FOLDER = join(REPOSITORY_ROOT, 'tests', 'load');
/** A load that does not end by itself is ended this long after its time (ms). */
const OVERTIME_MS = 60_000;
const WRK_TIMEOUT_SECONDS = 30;

/** What a closed loop counted; errors are not among the requests a second. */
export type Load = { requestsPerSecond: number; p50Ms: number; p99Ms: number; maxMs: number; errors: number };

/** What makes the load: wrk, or the client of this repository. */
export type LoadTool = 'wrk' | 'own';

/** What an open loop measured at a constant rate (ms). */
export type OpenLoad = {
  statuses: Record<string, number>;
  unanswered: number;
  /** From when a request was due. */
  due: Percentiles;
  /** From when it was written. */
  sent: Percentiles;
  /** How late the client itself was. */
  late: Percentiles;
};

type Percentiles = { p50Ms: number; p99Ms: number; p999Ms: number; maxMs: number };

/** wrk where it is installed: it spends 12 µs on a request of 4 KB, the other 15. */
export async function findLoadTool(): Promise<LoadTool> {
  // without arguments wrk prints its usage and ends with 1
  const failure = await run('wrk', []).then(
    () => null,
    (error: NodeJS.ErrnoException) => error,
  );
  return failure?.code === 'ENOENT' ? 'own' : 'wrk';
}

/** A closed loop for so many seconds with the requests of a folder. */
export async function closedLoop(
  tool: LoadTool,
  load: { origin: string; folder: string; connections: number; seconds: number },
  signal: AbortSignal,
): Promise<Load> {
  const { origin, folder, connections, seconds } = load;
  const limits = { signal, timeout: seconds * 1000 + OVERTIME_MS };
  if (tool === 'own') {
    const args = [join(FOLDER, 'load-client.ts'), new URL(origin).host, folder];
    const { stdout } = await run(nodeBinary(), [...args, String(connections), String(seconds)], limits);
    const told = JSON.parse(stdout) as Omit<Load, 'errors'> & {
      requests: number;
      statuses: Record<string, number>;
    };
    const right = told.statuses['200'] ?? 0;
    const requestsPerSecond = (told.requestsPerSecond * right) / told.requests;
    return { ...told, requestsPerSecond, errors: told.requests - right };
  }
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', `${WRK_TIMEOUT_SECONDS}s`];
  const script = ['-s', join(FOLDER, 'serving', 'wrk.lua'), origin, '--', folder];
  const { stdout } = await run('wrk', [...args, ...script], limits);
  const told = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Record<
    'requests' | 'us' | 'p50' | 'p99' | 'max' | 'errors',
    number
  >;
  return {
    requestsPerSecond: ((told.requests - told.errors) / told.us) * 1e6,
    p50Ms: told.p50 / 1000,
    p99Ms: told.p99 / 1000,
    maxMs: told.max / 1000,
    errors: told.errors,
  };
}

/** An open loop at so many requests a second over one connection. */
export async function openLoop(
  load: { origin: string; folder: string; rate: number; seconds: number; warmUpSeconds: number },
  signal: AbortSignal,
): Promise<OpenLoad> {
  const sizes = [load.rate, load.seconds, load.warmUpSeconds].map(String);
  const args = [join(FOLDER, 'open-loop.ts'), new URL(load.origin).host, load.folder, ...sizes];
  const timeout = (load.seconds + load.warmUpSeconds) * 1000 + OVERTIME_MS;
  return JSON.parse((await run(nodeBinary(), args, { signal, timeout })).stdout) as OpenLoad;
}
