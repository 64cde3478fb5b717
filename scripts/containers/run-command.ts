import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { LaunchError, logTail } from '@millrace/embedded';

/** Output of a command that is kept in memory; more fails it. */
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;
const ERROR_CHARACTERS = 2_000;

/** A program to run to its end. */
export type Command = {
  /** What it is for, as messages name it. */
  part: string;
  command: string;
  args: readonly string[];
  env: NodeJS.ProcessEnv;
  cwd?: string;
  timeoutMs: number;
  /** Ends the program with SIGTERM. */
  signal?: AbortSignal | undefined;
  /** Takes what it prints, for programs that print much. */
  logFile?: string;
};

/** Runs a program and gives its standard output, empty with a log. Throws a LaunchError with what it said last. */
export async function runCommand(spec: Command): Promise<string> {
  const log = spec.logFile === undefined ? undefined : openLog(spec.logFile);
  const child = spawn(spec.command, spec.args, {
    env: spec.env,
    stdio: ['ignore', log ?? 'pipe', log ?? 'pipe'],
    timeout: spec.timeoutMs,
    ...(spec.cwd ? { cwd: spec.cwd } : {}),
    ...(spec.signal ? { signal: spec.signal } : {}),
  });
  if (log !== undefined) closeSync(log);
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    if (stdout.length > OUTPUT_BYTES_MAX) child.kill('SIGKILL');
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-ERROR_CHARACTERS);
  });
  const line = `${spec.command} ${spec.args.slice(0, 2).join(' ')}`;
  const status = await new Promise<string | null>((resolve, reject) => {
    child.once('error', (cause) =>
      reject(new LaunchError(spec.part, `${line}: ${cause.message}`, { cause })),
    );
    child.once('close', (code, signal) => resolve(code === 0 ? null : String(signal ?? `status ${code}`)));
  });
  if (status === null) return stdout;
  const said = spec.logFile === undefined ? stderr || stdout.slice(-ERROR_CHARACTERS) : logTail(spec.logFile);
  const logFile = spec.logFile === undefined ? {} : { logFile: spec.logFile };
  throw new LaunchError(spec.part, `${line} ended with ${status}:\n${said.trim()}\n`, logFile);
}

function openLog(file: string): number {
  mkdirSync(dirname(file), { recursive: true });
  return openSync(file, 'a', 0o600);
}
