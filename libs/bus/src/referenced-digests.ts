import { referencedDigestsMethod } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { sql } from 'drizzle-orm';
import type { Bus } from './bus.ts';
import { serveRpc } from './rpc.ts';

/** Reading the tables of a service may take this long (ms). */
const SCAN_TIMEOUT_MS = 25_000;

/**
 * Which of the digests are mentioned in any row of a schema, in whatever column and however deep in JSON: a service that
 * gains a table need not remember to say so. `except` names tables that only tell of the past.
 */
export async function mentionedDigests(
  database: Database,
  schema: string,
  digests: readonly string[],
  except: readonly string[] = [],
): Promise<string[]> {
  const found = new Set<string>();
  await database.transaction(async (tx) => {
    await tx.execute(sql`select set_config('statement_timeout', ${String(SCAN_TIMEOUT_MS)}, true)`);
    const { rows: tables } = await tx.execute<{ name: string }>(
      sql`select table_name as name from information_schema.tables
        where table_schema = ${schema} and table_type = 'BASE TABLE' and table_name not like '\\_\\_%'`,
    );
    for (const { name } of tables) {
      if (except.includes(name)) continue;
      const table = sql`${sql.identifier(schema)}.${sql.identifier(name)}`;
      const { rows } = await tx.execute<{ digest: string }>(
        sql`select distinct match[1] as digest from ${table} as whole,
          lateral regexp_matches(whole::text, '[0-9a-f]{64}', 'g') as match
          where match[1] in (select jsonb_array_elements_text(${JSON.stringify(digests)}::jsonb))`,
      );
      for (const { digest } of rows) found.add(digest);
    }
  });
  return [...found];
}

/** Answers `millrace.rpc.<service>.referenced-digests` from the tables of the service. */
export function serveReferencedDigests(deps: {
  bus: Bus;
  service: string;
  database: Database;
  schema: string;
}): { stop(): Promise<void> } {
  const { bus, service, database, schema } = deps;
  return serveRpc(bus, service, 'referenced-digests', referencedDigestsMethod, async ({ digests }) => ({
    referenced: await mentionedDigests(database, schema, digests),
  }));
}
