import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { processTree } from '@millrace/embedded';

/** USER_HZ of every Linux for programs. */
const TICKS_PER_SECOND = 100;
const IDLE_FIELDS = [3, 4];
const UTIME_FIELD = 11;
const STIME_FIELD = 12;

/** Processor time that process trees have used so far (s). */
export function processorSeconds(roots: readonly number[]): number {
  return (
    [...new Set(roots.flatMap(processTree))].reduce((sum, pid) => sum + ticksOf(pid), 0) / TICKS_PER_SECOND
  );
}

function ticksOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(fields[UTIME_FIELD]) + Number(fields[STIME_FIELD]);
  } catch {
    return 0;
  }
}

/** How busy all cores are over `ms`, 0 to 1. */
export async function machineBusyShare(ms: number): Promise<number> {
  const before = machineTicks();
  await sleep(ms);
  const after = machineTicks();
  const all = after.all - before.all;
  return all === 0 ? 0 : 1 - (after.idle - before.idle) / all;
}

function machineTicks(): { all: number; idle: number } {
  const line = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0] ?? '';
  // guest time is part of user time already
  const fields = line.trim().split(/\s+/).slice(1, 9).map(Number);
  return {
    all: fields.reduce((sum, ticks) => sum + ticks, 0),
    idle: IDLE_FIELDS.reduce((sum, at) => sum + (fields[at] ?? 0), 0),
  };
}
