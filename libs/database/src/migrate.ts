import { createHash } from 'node:crypto';
import { drizzle } from 'drizzle-orm/node-postgres';
import { migrate as drizzleMigrate } from 'drizzle-orm/node-postgres/migrator';
import pg from 'pg';

/** A stable 63-bit key for an advisory lock from a text. */
export function advisoryKey(text: string): string {
  const digest = createHash('sha256').update(text).digest();
  return (digest.readBigUInt64BE(0) & 0x7fff_ffff_ffff_ffffn).toString();
}

/** Holds which migrations were applied, in one table a service. */
const MIGRATIONS_SCHEMA = 'millrace_migrations';

/** Services that start together would otherwise create it at the same time, which fails for all but one. */
async function createMigrationsSchema(client: pg.Client): Promise<void> {
  await client.query('begin');
  await client.query('select pg_advisory_xact_lock($1)', [advisoryKey(`schema:${MIGRATIONS_SCHEMA}`)]);
  await client.query(`create schema if not exists ${MIGRATIONS_SCHEMA}`);
  await client.query('commit');
}

/**
 * Brings a service's own schema up to date: applies the SQL files of `folder` (made by drizzle-kit) that were not
 * applied yet, each in a transaction. Replicas that start together wait for each other on an advisory lock.
 */
export async function migrate(options: { url: string; schema: string; folder: string }): Promise<void> {
  const client = new pg.Client({
    connectionString: options.url,
    application_name: `migrate-${options.schema}`,
  });
  await client.connect();
  try {
    await createMigrationsSchema(client);
    await client.query('select pg_advisory_lock($1)', [advisoryKey(`migrate:${options.schema}`)]);
    await drizzleMigrate(drizzle({ client }), {
      migrationsFolder: options.folder,
      migrationsSchema: MIGRATIONS_SCHEMA,
      migrationsTable: options.schema,
    });
  } finally {
    await client.end();
  }
}
