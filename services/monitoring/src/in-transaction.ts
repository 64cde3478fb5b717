import type { Database } from '@millrace/database';
import { toDatabaseError } from '@millrace/database';
import type { PoolClient } from 'pg';

/**
 * Runs `work` in one transaction on a connection of its own, which COPY needs, and commits it. Throws what `work` throws,
 * and `database_unavailable` while Postgres is away.
 */
export async function inTransaction<T>(
  { pool }: Database,
  work: (client: PoolClient) => Promise<T>,
  begin = 'begin',
): Promise<T> {
  let client: PoolClient | undefined;
  let broken: Error | undefined;
  try {
    client = await pool.connect();
    await client.query(begin);
    const result = await work(client);
    await client.query('commit');
    return result;
  } catch (error) {
    broken = error as Error;
    throw toDatabaseError(error);
  } finally {
    // a connection that failed half way is not used again
    client?.release(broken);
  }
}
