import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** One process, told apart from a later one with the same number by its start time (clock ticks since boot). */
export type ProcessId = { pid: number; startTicks: number };

/** The fields of /proc/<pid>/stat from the state on, or null when the process is gone. */
export function statFields(pid: number): string[] | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}

/** Start time of a live process in clock ticks since boot, or null when it is gone or a zombie. */
export function startTicksOf(pid: number): number | null {
  const fields = statFields(pid);
  return !fields || fields[0] === 'Z' || fields[0] === 'X' ? null : Number(fields[19]);
}

/** Whether a process was stopped by SIGSTOP and has not gone on since. */
export function isStopped(pid: number): boolean {
  return statFields(pid)?.[0] === 'T';
}

/** Whether this very process still runs; a reused number counts as gone. */
export function isAlive(id: ProcessId): boolean {
  return startTicksOf(id.pid) === id.startTicks;
}

/** Writes `pid startTicks` by rename, so that a reader never sees half a file. */
export function writePidFile(file: string, pid: number): void {
  mkdirSync(dirname(file), { recursive: true });
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, `${pid} ${startTicksOf(pid) ?? 0}\n`);
  renameSync(draft, file);
}

/** The process a pid file names, or null when there is no such file or it holds something else. */
export function readPidFile(file: string): ProcessId | null {
  try {
    const [pid, startTicks] = readFileSync(file, 'utf8').trim().split(' ').map(Number);
    if (!Number.isInteger(pid) || !Number.isInteger(startTicks)) return null;
    return { pid: pid as number, startTicks: startTicks as number };
  } catch {
    return null;
  }
}

/** Every live process named by a pid file of the folder, by part; files of dead processes are removed. */
export function livePids(folder: string): Map<string, ProcessId> {
  const live = new Map<string, ProcessId>();
  for (const file of listPidFiles(folder)) {
    const id = readPidFile(file);
    if (id && isAlive(id)) live.set(basename(file, '.pid'), id);
    else rmSync(file, { force: true });
  }
  return live;
}

function listPidFiles(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith('.pid'))
      .map((name) => join(folder, name));
  } catch {
    return [];
  }
}

/** Ends processes and their groups: SIGTERM, then after `graceMs` SIGKILL; returns when all are gone. */
export async function endProcesses(ids: readonly ProcessId[], graceMs: number): Promise<void> {
  for (const id of ids) signal(id, 'SIGTERM');
  const deadline = Date.now() + graceMs;
  while (ids.some(isAlive) && Date.now() < deadline) await pause(25);
  for (const id of ids) signal(id, 'SIGKILL');
  while (ids.some(isAlive)) await pause(10);
}

function signal(id: ProcessId, name: NodeJS.Signals): void {
  if (!isAlive(id)) return;
  try {
    process.kill(name === 'SIGKILL' && isGroupLeader(id.pid) ? -id.pid : id.pid, name);
  } catch {
    // It ended between the two calls.
  }
}

function isGroupLeader(pid: number): boolean {
  return Number(statFields(pid)?.[2]) === pid;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
