import { execFile } from 'node:child_process';
import { chownSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { LaunchError } from './launch-error.ts';
import { freePort } from './ports.ts';
import { postgresBinaries } from './postgres-binaries.ts';
import { type ManagedProcess, type ProcessSpec, startProcess } from './process.ts';
import { serverEnvironment } from './server-environment.ts';
import { openFolderFor, removeOrphans } from './stand-in-folder.ts';
import { canRead, makeOwnedFolder, type ServerUser, unprivilegedUser } from './unprivileged-user.ts';

const run = promisify(execFile);
const MAJOR_VERSION = '18';
const SUPERUSER = 'millrace';
const READY_TIMEOUT_MS = 180_000;
const STOP_GRACE_MS = 10_000;
const PROBE_TIMEOUT_MS = 2_000;
/** Seven services with pools of ten, tests and tools beside them; an idle connection costs about 2 MB. */
const MAX_CONNECTIONS = 200;
const SHARED_BUFFERS = '64MB';

/** How to start an embedded Postgres. */
export type PostgresOptions = {
  /** Folder of the cluster; moved to an open folder when the server's user cannot reach it. */
  dataFolder: string;
  logFile: string;
  pidFile?: string;
  password: string;
  database: string;
  port?: number;
  /** Ends a test's server at once instead of waiting for a clean end. */
  stopGraceMs?: number;
  /** Ends a start that is under way. */
  signal?: AbortSignal | undefined;
  /** False only in tests: durability of what a power loss takes is not theirs to test. */
  isFsyncOn?: boolean;
};

/** A running embedded Postgres. */
export type EmbeddedPostgres = {
  readonly process: ManagedProcess;
  readonly port: number;
  /** URL of the platform's database as superuser. */
  readonly url: string;
  /** Where the cluster really is. */
  readonly dataFolder: string;
  /** What the user should know, such as data kept outside the home. */
  readonly notices: readonly string[];
};

/** Starts Postgres on loopback with scram passwords; makes the cluster and the database when they are missing. */
export async function startPostgres(options: PostgresOptions): Promise<EmbeddedPostgres> {
  const user = unprivilegedUser();
  const notices = user ? removeOrphans() : [];
  const binaries = postgresBinaries(user);
  if (binaries.notice) notices.push(binaries.notice);
  const dataFolder = reachableData(options.dataFolder, user, notices);
  await ensureCluster(binaries.folder, dataFolder, options, user);
  const port = options.port ?? (await freePort());
  const adminUrl = postgresUrl(options.password, port, 'postgres');
  const process = await startProcess({
    ...spec(binaries.folder, dataFolder, port, options),
    isReady: () => answers(adminUrl),
    ...(user ? { user: { uid: user.uid, gid: user.gid } } : {}),
  });
  try {
    await ensureDatabase(adminUrl, options.database);
  } catch (error) {
    await process.killHard();
    throw error;
  }
  return { process, port, url: postgresUrl(options.password, port, options.database), dataFolder, notices };
}

function spec(
  bin: string,
  data: string,
  port: number,
  options: PostgresOptions,
): Omit<ProcessSpec, 'isReady'> {
  const settings: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: String(MAX_CONNECTIONS),
    shared_buffers: SHARED_BUFFERS,
    huge_pages: 'off',
    io_method: 'sync',
    password_encryption: 'scram-sha-256',
    fsync: options.isFsyncOn === false ? 'off' : 'on',
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  return {
    name: 'postgres',
    command: join(bin, 'postgres'),
    args: ['-D', join(data, 'cluster'), '-p', String(port), ...flags],
    env: serverEnvironment(),
    cwd: '/',
    logFile: options.logFile,
    signal: options.signal,
    // SIGINT ends open sessions and then shuts down cleanly; SIGTERM would wait for the last client.
    stopSignal: 'SIGINT',
    stopGraceMs: options.stopGraceMs ?? STOP_GRACE_MS,
    readyTimeoutMs: READY_TIMEOUT_MS,
    ...(options.pidFile ? { pidFile: options.pidFile } : {}),
  };
}

function reachableData(wanted: string, user: ServerUser | null, notices: string[]): string {
  makeOwnedFolder(wanted, user);
  if (!user || canRead(wanted, user)) return wanted;
  const moved = join(openFolderFor(wanted, wanted, user), 'postgres');
  makeOwnedFolder(moved, user);
  notices.push(`user ${user.name} cannot reach ${wanted}; the database is kept in ${moved}`);
  return moved;
}

async function ensureCluster(
  bin: string,
  data: string,
  options: PostgresOptions,
  user: ServerUser | null,
): Promise<void> {
  const cluster = join(data, 'cluster');
  const versionFile = join(cluster, 'PG_VERSION');
  if (!existsSync(versionFile)) {
    const draft = join(data, 'draft');
    rmSync(draft, { recursive: true, force: true });
    await initialise(bin, draft, options, user);
    renameSync(draft, cluster);
    return;
  }
  const found = readFileSync(versionFile, 'utf8').trim();
  if (found === MAJOR_VERSION) return;
  throw new LaunchError(
    'postgres',
    `${data} was written by Postgres ${found}, this is ${MAJOR_VERSION}; dump and reload it, or remove the folder to start anew`,
  );
}

async function initialise(
  bin: string,
  cluster: string,
  options: PostgresOptions,
  user: ServerUser | null,
): Promise<void> {
  const passwordFile = `${cluster}.password`;
  writeFileSync(passwordFile, `${options.password}\n`, { mode: 0o600 });
  if (user) chownSync(passwordFile, user.uid, user.gid);
  const args = ['-D', cluster, `--username=${SUPERUSER}`, `--pwfile=${passwordFile}`, '--auth=scram-sha-256'];
  args.push('--encoding=UTF8', '--locale=C.UTF-8', '--no-instructions');
  if (options.isFsyncOn === false) args.push('--no-sync');
  const identity = user ? { uid: user.uid, gid: user.gid } : {};
  try {
    await run(join(bin, 'initdb'), args, { env: serverEnvironment(), cwd: '/', ...identity });
  } catch (cause) {
    const { stderr, message } = cause as { stderr?: string; message: string };
    throw new LaunchError('postgres', `initdb failed: ${(stderr || message).trim()}`, { cause });
  } finally {
    rmSync(passwordFile, { force: true });
  }
}

/** URL of the superuser on loopback. */
export function postgresUrl(password: string, port: number, database: string): string {
  return `postgres://${SUPERUSER}:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`;
}

async function answers(url: string): Promise<boolean> {
  return withClient(url, async (client) => (await client.query('select 1')).rowCount === 1);
}

async function ensureDatabase(adminUrl: string, database: string): Promise<void> {
  await withClient(adminUrl, async (client) => {
    const found = await client.query('select 1 from pg_database where datname = $1', [database]);
    if (found.rowCount === 0) await client.query(`create database ${client.escapeIdentifier(database)}`);
  });
}

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: PROBE_TIMEOUT_MS });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}
