import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readFileSync } from 'node:fs';
import { LaunchError } from './launch-error.ts';

/** A user that a server runs as when we are root, which Postgres refuses to be. */
export type ServerUser = { name: string; uid: number; gid: number };

/** Users tried in turn; `nobody` is on every Linux. */
const CANDIDATES = ['postgres', 'nobody'];

/** The user servers run as: null when we are not root and they can run as ourselves. */
export function unprivilegedUser(): ServerUser | null {
  if (process.getuid?.() !== 0) return null;
  const entries = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  for (const name of CANDIDATES) {
    const entry = entries.find((fields) => fields[0] === name);
    if (entry) return { name, uid: Number(entry[2]), gid: Number(entry[3]) };
  }
  throw new LaunchError(
    'postgres',
    `needs a user other than root: make one with \`useradd --system postgres\``,
  );
}

/** Whether the user can enter and read a folder, every parent of it included. */
export function canRead(folder: string, user: ServerUser): boolean {
  return runAs(user, 'cd -- "$1" && test -r .', folder);
}

/** Whether the user can run a program: its folder may be closed, or the file not executable for others. */
export function canExecute(file: string, user: ServerUser): boolean {
  return runAs(user, 'test -x "$1"', file);
}

function runAs(user: ServerUser, script: string, argument: string): boolean {
  const { uid, gid } = user;
  return (
    spawnSync('/bin/sh', ['-c', script, 'sh', argument], { uid, gid, cwd: '/', stdio: 'ignore' }).status === 0
  );
}

/** Makes a folder that belongs to the user alone. */
export function makeOwnedFolder(folder: string, user: ServerUser | null): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (user) chownSync(folder, user.uid, user.gid);
  chmodSync(folder, 0o700);
}
