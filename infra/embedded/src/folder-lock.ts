import { linkSync, renameSync, rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { LaunchError } from './launch-error.ts';
import { isAlive, readPidFile, writePidFile } from './pid-file.ts';

const RETRY_MS = 100;
const WAIT_LIMIT_MS = 20 * 60_000;

/** Runs `work` while holding a lock file; a lock whose owner is dead is taken over, a live one is waited for. */
export async function withFolderLock<T>(lockFile: string, work: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + WAIT_LIMIT_MS;
  while (!tryLock(lockFile)) {
    if (Date.now() > deadline)
      throw new LaunchError('lock', `${lockFile} is held by another run; end it first`);
    await delay(RETRY_MS);
  }
  try {
    return await work();
  } finally {
    rmSync(lockFile, { force: true });
  }
}

/** Takes a lock file for this process if no live process holds it. */
export function tryLock(lockFile: string): boolean {
  const draft = `${lockFile}.${process.pid}.draft`;
  writePidFile(draft, process.pid);
  try {
    linkSync(draft, lockFile);
    return true;
  } catch {
    const holder = readPidFile(lockFile);
    if (!holder || !isAlive(holder)) bury(lockFile);
    return false;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Removes a dead owner's lock; one that a live process took in the meantime is put back. */
function bury(lockFile: string): void {
  const grave = `${lockFile}.${process.pid}.stale`;
  try {
    renameSync(lockFile, grave);
    const holder = readPidFile(grave);
    if (holder && isAlive(holder)) linkSync(grave, lockFile);
  } catch {
    // Another process was faster; the next try sees what it did.
  } finally {
    rmSync(grave, { force: true });
  }
}
