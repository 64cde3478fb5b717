import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { folderTag } from './home.ts';
import { LaunchError } from './launch-error.ts';
import { startTicksOf } from './pid-file.ts';
import type { ServerUser } from './unprivileged-user.ts';
import { canRead } from './unprivileged-user.ts';

/** Folders any user can enter and that survive a reboot come first. */
const OPEN_FOLDERS = ['/var/tmp', '/tmp'];
const MARKER = 'stands-in-for.json';
const MARKER_BYTES_MAX = 16_384;

/** Written into every stand-in: without it nothing is ever removed. */
type Marker = {
  /** The closed folder. */
  folder: string;
  /** The stand-in is of use for as long as this is there. */
  home: string;
  /** File system of the home: one that is only not mounted is not gone. */
  device: number;
};

const ownUid = (): number => process.getuid?.() ?? 0;
const nameFor = (folder: string): string => `millrace-${ownUid()}-${folderTag(folder)}`;

/** A folder of ours, outside any closed home, that stands in for `folder`; the same one each time. */
export function openFolderFor(folder: string, home: string, user: ServerUser): string {
  for (const parent of OPEN_FOLDERS) {
    if (!canRead(parent, user)) continue;
    const open = join(parent, nameFor(folder));
    mkdirSync(open, { recursive: true, mode: 0o755 });
    if (!isOurs(open, 'folder')) {
      throw new LaunchError(
        'postgres',
        `${open} belongs to somebody else; remove it, or set MILLRACE_HOME to an open folder`,
      );
    }
    chmodSync(open, 0o755);
    const marker: Marker = { folder, home, device: statSync(home).dev };
    writeFileSync(join(open, MARKER), `${JSON.stringify(marker)}\n`);
    return open;
  }
  throw new LaunchError(
    'postgres',
    `no folder that user ${user.name} can enter; set MILLRACE_HOME to one, such as /srv/millrace`,
  );
}

/**
 * Removes stand-ins of this user whose home was deleted, and says which. One without a marker, of somebody else, of a
 * home whose file system is not there, or with a running Postgres is kept.
 */
export function removeOrphans(parents: readonly string[] = OPEN_FOLDERS): string[] {
  return parents.flatMap((parent) =>
    listFolder(parent).flatMap((name) => {
      const open = join(parent, name);
      const marker = orphanMarker(open, name);
      if (marker === null) return [];
      try {
        // nobody else gets in while it is taken apart
        chmodSync(open, 0o700);
        rmSync(open, { recursive: true, force: true });
        return [`removed ${open}, which stood in for ${marker.folder}: ${marker.home} is gone`];
      } catch (error) {
        return [`could not remove ${open}, whose ${marker.home} is gone: ${(error as Error).message}`];
      }
    }),
  );
}

/** The marker of a folder that may be removed, else null. */
function orphanMarker(open: string, name: string): Marker | null {
  if (!/^millrace-\d+-[0-9a-f]{12}$/.test(name) || !isOurs(open, 'folder')) return null;
  const marker = readMarker(join(open, MARKER));
  if (marker === null || name !== nameFor(marker.folder)) return null;
  return isGone(marker) && !hasPostgres(open) ? marker : null;
}

function readMarker(file: string): Marker | null {
  if (!isOurs(file, 'file') || statSync(file).size > MARKER_BYTES_MAX) return null;
  try {
    const { folder, home, device } = JSON.parse(readFileSync(file, 'utf8')) as Partial<Marker>;
    const isWhole =
      typeof folder === 'string' && typeof home === 'string' && home !== '' && typeof device === 'number';
    return isWhole ? { folder, home, device } : null;
  } catch {
    return null;
  }
}

/** Whether the home was deleted: it is not there, and the file system that it was on is. */
function isGone({ home, device }: Marker): boolean {
  try {
    if (lstatSync(home, { throwIfNoEntry: false }) !== undefined) return false;
    let above = dirname(home);
    while (lstatSync(above, { throwIfNoEntry: false }) === undefined) above = dirname(above);
    return statSync(above).dev === device;
  } catch {
    return false;
  }
}

function hasPostgres(open: string): boolean {
  try {
    const [pid] = readFileSync(join(open, 'postgres', 'cluster', 'postmaster.pid'), 'utf8').split('\n');
    return startTicksOf(Number(pid)) !== null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT';
  }
}

/** Whether it is there, no link, and made by this user. */
function isOurs(path: string, kind: 'file' | 'folder'): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined || stat.uid !== ownUid()) return false;
  return kind === 'file' ? stat.isFile() : stat.isDirectory();
}

function listFolder(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
