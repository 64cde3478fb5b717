import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { eventually } from './eventually.ts';
import { testInfra } from './test-infra.ts';

/** Closing a pool returns before the server has seen it; this is how long that may take. */
const CLOSE_GRACE_MS = 2_000;

/** A database of one test file. */
export type TestDatabase = {
  readonly name: string;
  /** URL with superuser rights in the shared server. */
  readonly url: string;
  /** Removes it; throws when the test still holds connections, naming their last statement. */
  drop(): Promise<void>;
};

/** Makes an empty database in the run's Postgres, so that test files never meet. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const admin = testInfra().database.url;
  const name = `test_${randomBytes(6).toString('hex')}`;
  await withAdmin(admin, (client) => client.query(`create database ${name}`));
  const url = new URL(admin);
  url.pathname = `/${name}`;
  return { name, url: url.href, drop: () => dropDatabase(admin, name) };
}

async function dropDatabase(admin: string, name: string): Promise<void> {
  await withAdmin(admin, async (client) => {
    const open = await eventually(
      async () => {
        const found = await openConnections(client, name);
        if (found.length > 0) throw new Error(found.join('; '));
        return found;
      },
      { timeoutMs: CLOSE_GRACE_MS, intervalMs: 50 },
    ).catch((error: Error) => [error.message]);
    await client.query(`drop database if exists ${name} with (force)`);
    if (open.length > 0) throw new Error(`connections left open to ${name}: ${open.join('; ')}`);
  });
}

async function openConnections(client: pg.Client, name: string): Promise<string[]> {
  const result = await client.query<{ application: string; query: string }>(
    `select application_name as application, left(query, 80) as query
     from pg_stat_activity where datname = $1 and backend_type = 'client backend'`,
    [name],
  );
  return result.rows.map((row) => `${row.application || 'unnamed'}: ${row.query}`);
}

async function withAdmin<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
