import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { isAlive, type ProcessId } from './pid-file.ts';
import type { PartState } from './supervisor.ts';

/** What `.millrace/platform.json` holds: the parts as their supervisor sees them. */
export type PlatformState = {
  supervisor: ProcessId;
  startedAt: string;
  phase: 'starting' | 'ready' | 'stopping';
  parts: PartState[];
};

/** Writes the state whole, readable by its owner alone. */
export function writePlatformState(file: string, state: PlatformState): void {
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 });
  renameSync(draft, file);
}

/** The state of a platform whose supervisor runs; null when there is none or it is gone. */
export function readPlatformState(file: string): PlatformState | null {
  try {
    const state = JSON.parse(readFileSync(file, 'utf8')) as PlatformState;
    return isAlive(state.supervisor) ? state : null;
  } catch {
    return null;
  }
}
