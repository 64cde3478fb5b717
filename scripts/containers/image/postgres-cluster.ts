import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const BIN = '/opt/postgres/bin';
const MAJOR_VERSION = '18';
/** Every address of the containers' network, by password. */
const ACCESS_BY_NETWORK = 'host all all all scram-sha-256\n';

/** Where the cluster is to be and who owns it. */
export type ClusterSpec = { folder: string; superuser: string; password: string; database: string };

/** Makes the cluster and its database if there are none. Throws when another major version of Postgres wrote it. */
export function ensureCluster({ folder, superuser, password, database }: ClusterSpec): void {
  const cluster = join(folder, 'cluster');
  if (existsSync(join(cluster, 'PG_VERSION'))) {
    const found = readFileSync(join(cluster, 'PG_VERSION'), 'utf8').trim();
    if (found === MAJOR_VERSION) return;
    throw new Error(
      `The volume of Postgres was written by version ${found}, this is ${MAJOR_VERSION}: dump the database with the ` +
        'older image, remove the volume, and load it again.',
    );
  }
  const draft = join(folder, 'draft');
  const passwordFile = join(folder, 'password');
  rmSync(draft, { recursive: true, force: true });
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
  const initdb = ['-D', draft, `--username=${superuser}`, `--pwfile=${passwordFile}`];
  initdb.push('--auth=scram-sha-256', '--encoding=UTF8', '--locale=C.UTF-8', '--no-instructions');
  execFileSync(join(BIN, 'initdb'), initdb, { stdio: ['ignore', 'inherit', 'inherit'] });
  rmSync(passwordFile);
  appendFileSync(join(draft, 'pg_hba.conf'), ACCESS_BY_NETWORK);
  execFileSync(join(BIN, 'postgres'), ['--single', '-D', draft, 'postgres'], {
    input: `create database ${database}\n`,
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  renameSync(draft, cluster);
}
