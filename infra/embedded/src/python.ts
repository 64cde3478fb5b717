import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { LaunchError } from './launch-error.ts';

const run = promisify(execFile);
const PROBE_TIMEOUT_MS = 15_000;
const COMMANDS = ['python3.12', 'python3.11', 'python3', 'python'];
const SUPPORTED = ['3.11', '3.12'];
const PROBE = [
  'import sys, platform',
  'print(".".join(map(str, sys.version_info[:3])), sys.executable)',
  'import venv, ensurepip',
].join('; ');

/** A Python that was run and fits. */
export type Python = { executable: string; version: string };

/**
 * Finds Python 3.11 or 3.12 by running each candidate, since a command that exists need not work (pyenv's shims);
 * MILLRACE_PYTHON names one. Throws a LaunchError that says what to install.
 */
export async function findPython(env: NodeJS.ProcessEnv): Promise<Python> {
  const commands = env.MILLRACE_PYTHON ? [env.MILLRACE_PYTHON] : COMMANDS;
  const rejected: string[] = [];
  for (const command of commands) {
    const found = await probe(command, env);
    if (typeof found !== 'string') return found;
    if (found) rejected.push(`${command}: ${found}`);
  }
  const seen = rejected.length > 0 ? ` Found ${rejected.join('; ')}.` : '';
  const fix = 'Install Python 3.11 or 3.12 (Debian, Ubuntu: apt install python3.11 python3.11-venv)';
  throw new LaunchError(
    'python',
    `needs Python 3.11 or 3.12.${seen} ${fix}, or set MILLRACE_PYTHON to its path`,
  );
}

/** The Python, or why it does not fit; an empty reason means that there is no such command. */
async function probe(command: string, env: NodeJS.ProcessEnv): Promise<Python | string> {
  try {
    const { stdout } = await run(command, ['-c', PROBE], { env, timeout: PROBE_TIMEOUT_MS });
    return judge(stdout);
  } catch (error) {
    const failure = error as NodeJS.ErrnoException & { stdout?: string; stderr?: string };
    if (failure.code === 'ENOENT') return '';
    const judged = judge(failure.stdout ?? '');
    if (typeof judged !== 'string') return `${judged.version} lacks the modules venv and ensurepip`;
    return judged || (failure.stderr ?? '').trim().split('\n')[0] || 'does not run';
  }
}

function judge(stdout: string): Python | string {
  const [version, ...path] = stdout.trim().split(' ');
  if (!version) return '';
  if (!SUPPORTED.some((minor) => version.startsWith(`${minor}.`))) return version;
  return { executable: path.join(' '), version };
}
