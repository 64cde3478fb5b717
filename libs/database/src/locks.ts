import { sql } from 'drizzle-orm';
import type { Executor } from './database.ts';
import { advisoryKey } from './migrate.ts';

/** Waits for whoever holds the name and holds it until the transaction ends. */
export async function lockName(tx: Executor, name: string): Promise<void> {
  await tx.execute(sql`select pg_advisory_xact_lock(${advisoryKey(name)}::bigint)`);
}
