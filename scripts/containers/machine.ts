import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { LaunchError } from '@millrace/embedded';
import { runCommand } from './run-command.ts';

const INSTALL_TIMEOUT_MS = 10 * 60_000;
const PROBE_TIMEOUT_MS = 10_000;
const PLACES = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** What Podman and the base image need, as Debian and Ubuntu call it, and a program that shows that it is there. */
const NEEDED = [
  { debian: 'podman', program: 'podman' },
  { debian: 'runc', program: 'runc' },
  { debian: 'netavark', program: '/usr/lib/podman/netavark' },
  { debian: 'aardvark-dns', program: '/usr/lib/podman/aardvark-dns' },
  { debian: 'iptables', program: 'iptables' },
  { debian: 'debootstrap', program: 'debootstrap' },
] as const;

/** The engine that this machine has: Docker if its daemon answers, else Podman. */
export async function chooseEngine(env: NodeJS.ProcessEnv): Promise<'docker' | 'podman'> {
  if (!isThere('docker', env)) return 'podman';
  const probe = { part: 'docker', command: 'docker', args: ['info'], env, timeoutMs: PROBE_TIMEOUT_MS };
  return runCommand(probe).then(
    () => 'docker',
    () => 'podman',
  );
}

/**
 * Makes sure that what Podman needs is installed and may be used: with `isSetUp` it is installed, else a LaunchError
 * says what is missing and how it comes. Nothing is installed unasked.
 */
export async function ensurePodman(env: NodeJS.ProcessEnv, isSetUp: boolean, logFile: string): Promise<void> {
  const isRoot = process.getuid?.() === 0;
  const missing = NEEDED.filter(({ program }) => !isThere(program, env)).map(({ debian }) => debian);
  if (missing.length > 0) {
    const command = `apt-get install --no-install-recommends ${missing.join(' ')}`;
    if (!isSetUp || !isRoot) {
      throw new LaunchError(
        'containers',
        `no Docker daemon answers, and Podman needs ${missing.join(', ')}. As root: ${command}, or run this as root ` +
          'with --setup, which does it.',
      );
    }
    const apt = { part: 'setup', command: 'apt-get', timeoutMs: INSTALL_TIMEOUT_MS, logFile };
    const quiet = { ...env, DEBIAN_FRONTEND: 'noninteractive' };
    await runCommand({ ...apt, args: ['update'], env: quiet });
    await runCommand({
      ...apt,
      args: ['install', '--yes', '--no-install-recommends', ...missing],
      env: quiet,
    });
  }
  if (!isRoot) {
    throw new LaunchError('containers', 'Podman is run as root here: it makes networks and a base image.');
  }
}

function isThere(program: string, env: NodeJS.ProcessEnv): boolean {
  return program.startsWith('/') ? existsSync(program) : findProgram(program, env) !== undefined;
}

/** Where a program is: the first place on the PATH, or where systems keep them. */
export function findProgram(program: string, env: NodeJS.ProcessEnv): string | undefined {
  const folders = [...(env.PATH ?? '').split(delimiter), ...PLACES];
  return folders.map((folder) => join(folder, program)).find(canRun);
}

function canRun(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
