import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Root folder of the repository. */
export const REPOSITORY_ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');

/** Folders and files of one running platform. */
export type Home = {
  readonly root: string;
  readonly data: string;
  readonly logs: string;
  readonly pids: string;
  readonly keys: string;
  /** Compiled sources of the services; may be removed at any time. */
  readonly compileCache: string;
  readonly connectionFile: string;
  readonly stateFile: string;
  readonly lockFile: string;
};

/** Names the folders of a home and makes them; keys are for the owner alone. */
export function openHome(root: string): Home {
  const home: Home = {
    root,
    data: join(root, 'data'),
    logs: join(root, 'logs'),
    pids: join(root, 'pids'),
    keys: join(root, 'keys'),
    compileCache: join(root, 'cache', 'node'),
    connectionFile: join(root, 'connection.json'),
    stateFile: join(root, 'platform.json'),
    lockFile: join(root, 'pids', 'supervisor.pid'),
  };
  for (const folder of [home.data, home.logs, home.pids]) mkdirSync(folder, { recursive: true });
  mkdirSync(home.keys, { recursive: true, mode: 0o700 });
  chmodSync(home.keys, 0o700);
  return home;
}

/** Where the platform keeps its state: MILLRACE_HOME, else `.millrace` in the repository. */
export function homeRoot(env: NodeJS.ProcessEnv): string {
  return resolve(env.MILLRACE_HOME || join(REPOSITORY_ROOT, '.millrace'));
}

/** Where the Python environments are: MILLRACE_ENVS_DIR, else `.millrace/envs` in the repository. */
export function environmentsRoot(env: NodeJS.ProcessEnv): string {
  return resolve(env.MILLRACE_ENVS_DIR || join(REPOSITORY_ROOT, '.millrace', 'envs'));
}

/** Short stable name of a folder, for things that must be kept elsewhere on its behalf. */
export function folderTag(folder: string): string {
  return createHash('sha256').update(resolve(folder)).digest('hex').slice(0, 12);
}
