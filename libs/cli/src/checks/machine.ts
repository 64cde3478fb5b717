import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Context } from '../command.ts';
import { findHome } from '../connection.ts';
import { bytes } from '../format.ts';
import type { Check } from './check.ts';
import { Skipped } from './check.ts';

const NODE_MAJOR_MIN = 24;
/** A training run with its environments, data and checkpoints stays under this. */
const DISK_FREE_BYTES_MIN = 5 * 1024 ** 3;
const PORTS: readonly (readonly [string, number])[] = [
  ['gateway', 9926],
  ['inference', 8081],
];

/** Checks that need no running platform. */
export function checkMachine(context: Context): Check[] {
  const { env, cwd, connection } = context;
  const home = connection.home ?? cwd;
  // The environments stay with the checkout, also when MILLRACE_HOME is elsewhere.
  const environments = env.MILLRACE_ENVS_DIR ?? join(findHome({}, cwd) ?? home, 'envs');
  return [
    {
      name: 'node',
      fix: 'run it with npm run millrace, which brings its own Node',
      async run() {
        const major = Number(process.versions.node.split('.')[0]);
        if (major < NODE_MAJOR_MIN)
          throw new Error(`${process.versions.node}, needs ${NODE_MAJOR_MIN} or newer`);
        return process.versions.node;
      },
    },
    ...['tools', 'training', 'conversion'].map((name) => pythonCheck(name, join(environments, name))),
    ...PORTS.map(([name, port]) => portCheck(context, name, port)),
    {
      name: 'disk',
      fix: 'make room, or set MILLRACE_HOME to a folder on another disk',
      async run() {
        const { bavail, bsize } = await statfs(home);
        const free = bavail * bsize;
        if (free < DISK_FREE_BYTES_MIN)
          throw new Error(`${bytes(free)} free, needs ${bytes(DISK_FREE_BYTES_MIN)}`);
        return `${bytes(free)} free`;
      },
    },
  ];
}

function pythonCheck(name: string, folder: string): Check {
  return {
    name: `python ${name}`,
    fix: `npm run env -- ${name}`,
    async run() {
      const python = join(folder, 'bin', 'python');
      if (!existsSync(python)) throw new Error(`no environment at ${folder}`);
      const { stdout } = await promisify(execFile)(python, [
        '-c',
        'import platform; print(platform.python_version())',
      ]);
      return stdout.trim();
    },
  };
}

/** While a platform runs its ports are in use, by it; otherwise they must be free. */
function portCheck({ connection }: Context, name: string, port: number): Check {
  return {
    name: `port ${port}`,
    fix: `stop what uses it, or choose another: MILLRACE_${name.toUpperCase()}_PORT=...`,
    async run() {
      if (connection.servers !== undefined) throw new Skipped('a platform is running');
      await new Promise<void>((resolve, reject) => {
        const server = createServer();
        server.once('error', () => reject(new Error('in use by another program')));
        server.listen(port, '127.0.0.1', () => server.close(() => resolve()));
      });
      return `free for the ${name}`;
    },
  };
}
