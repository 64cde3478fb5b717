import { migrate } from './migrate.ts';

/**
 * `migrate-main.ts SCHEMA FOLDER`: the migrations of one service ahead of its start, for instance by a Kubernetes Job. It
 * is what the service does itself when it starts; a schema that is up to date stays as it is. Exits 78 when an argument
 * or MILLRACE_DATABASE_URL is missing, 1 when Postgres refuses.
 */
const EXIT_CONFIG = 78;
const USAGE = 'usage: MILLRACE_DATABASE_URL=postgres://… node migrate-main.ts SCHEMA FOLDER';

const [schema, folder] = process.argv.slice(2);
const url = process.env.MILLRACE_DATABASE_URL;
if (!schema || !folder || !url) {
  process.stderr.write(`${USAGE}\n`);
  process.exit(EXIT_CONFIG);
}
try {
  await migrate({ url, schema, folder });
  process.stdout.write(`schema ${schema} is up to date\n`);
} catch (error) {
  // the message of a failed connection may name the host, never the password
  process.stderr.write(`schema ${schema}: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
