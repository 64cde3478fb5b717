import { AppError, isAppError } from '@millrace/contracts';
import type { NodePgDatabase } from 'drizzle-orm/node-postgres';
import { drizzle } from 'drizzle-orm/node-postgres';
import pg from 'pg';
import { toDatabaseError } from './errors.ts';

/** Connections a service holds at most; seven services stay under Postgres' default of 100. */
const MAX_CONNECTIONS = 10;
/** Waiting for a connection longer than this is `database_unavailable`. */
const CONNECT_TIMEOUT_MS = 5_000;
/** No statement of ours runs longer. */
const STATEMENT_TIMEOUT_MS = 30_000;
/** Postgres ends a statement in time; one without an answer for longer has no Postgres behind it any more. */
const ANSWER_TIMEOUT_MS = STATEMENT_TIMEOUT_MS + 5_000;
const IDLE_TIMEOUT_MS = 30_000;

/** What repositories run on: the pool or an open transaction. */
export type Executor = Omit<NodePgDatabase<Record<string, never>>, '$client'>;

export type Database = {
  readonly pool: pg.Pool;
  /** Runs statements outside a transaction. */
  readonly db: Executor;
  /**
   * Runs `work` in one transaction and commits it; rolls back when it throws.
   * @throws AppError `database_unavailable` when Postgres cannot be reached.
   */
  transaction<T>(work: (tx: Executor) => Promise<T>): Promise<T>;
  /** Calls `listener` after each commit of this process; returns the function that removes it. */
  onCommit(listener: () => void): () => void;
  /** Resolves when a statement answers; throws `database_unavailable` otherwise. */
  ping(): Promise<void>;
  close(): Promise<void>;
};

export type DatabaseOptions = {
  url: string;
  applicationName: string;
  maxConnections?: number;
  /** How long a statement waits for its answer before its connection counts as dead (ms). */
  answerTimeoutMs?: number;
  onError?: (error: Error) => void;
};

/** The pool's connection is taken here because drizzle keeps one for ever whose `begin` fails. */
async function inTransaction<T>(pool: pg.Pool, work: (tx: Executor) => Promise<T>): Promise<T> {
  let client: pg.PoolClient | undefined;
  let broken: Error | undefined;
  try {
    client = await pool.connect();
    return await drizzle({ client }).transaction((tx) => work(tx));
  } catch (error) {
    const known = toDatabaseError(error);
    if (isAppError(known) && known.code === 'database_unavailable') broken = known;
    throw known;
  } finally {
    // a connection that failed half way is not used again
    client?.release(broken);
  }
}

/** Opens a pool; connects on first use, so Postgres may start later. */
export function createDatabase(options: DatabaseOptions): Database {
  const pool = new pg.Pool({
    connectionString: options.url,
    application_name: options.applicationName,
    max: options.maxConnections ?? MAX_CONNECTIONS,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    idleTimeoutMillis: IDLE_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS,
    keepAlive: true,
  });
  // A connection that breaks while idle is replaced; without a listener Node would exit.
  pool.on('error', (error) => options.onError?.(error));
  // The pool stops listening while a connection is in use; the statement in hand fails and tells its caller.
  pool.on('connect', (client) => client.on('error', (error) => options.onError?.(error)));
  const listeners = new Set<() => void>();
  const db: Executor = drizzle({ client: pool });

  return {
    pool,
    db,
    async transaction(work) {
      const result = await inTransaction(pool, work);
      for (const listener of listeners) listener();
      return result;
    },
    onCommit(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async ping() {
      try {
        await pool.query('select 1');
      } catch (cause) {
        throw new AppError(
          'database_unavailable',
          'Postgres does not answer; check MILLRACE_DATABASE_URL and that it runs.',
          { cause },
        );
      }
    },
    async close() {
      listeners.clear();
      await pool.end();
    },
  };
}
