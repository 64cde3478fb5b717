import type { Database } from '@millrace/database';
import { advisoryKey } from '@millrace/database';
import { headers as createHeaders } from '@nats-io/transport-node';
import { and, asc, eq, gt, inArray, isNull, lt, lte, notExists, sql } from 'drizzle-orm';
import { alias } from 'drizzle-orm/pg-core';
import type pg from 'pg';
import type { Bus } from './bus.ts';
import type { BusTables } from './outbox.table.ts';

/** Rows taken at once. */
const BATCH_ROWS = 200;
/** Wake-up when no commit of this process poked the relay. */
const POLL_MS = 200;
/** Another replica that does not hold the lock asks this often. */
const LOCK_RETRY_MS = 1_000;
const BACKOFF_MAX_MS = 10_000;
const PUBLISH_TIMEOUT_MS = 5_000;
/** Published rows are kept this long, so that a lost stream can be filled again. */
const RETENTION_DAYS = 14;
const CLEAN_INTERVAL_MS = 60 * 60_000;

type OutboxRow = BusTables['outbox']['$inferSelect'];

export type OutboxRelay = {
  start(): void;
  /** Publishes what is committed now instead of at the next poll. */
  poke(): void;
  /** Rows that wait for their PubAck. */
  pending(): Promise<number>;
  stop(): Promise<void>;
};

export type OutboxRelayOptions = { database: Database; tables: BusTables; bus: Bus; schema: string };

/**
 * Publishes committed outbox rows with their id as `Nats-Msg-Id`, in commit order within an aggregate, and marks them
 * after the PubAck. One replica at a time relays (session advisory lock); a crash anywhere repeats a publish at most,
 * which the stream's duplicate window and the consumers' inboxes absorb.
 */
export function createOutboxRelay(options: OutboxRelayOptions): OutboxRelay {
  const { database, tables, bus, schema } = options;
  const { outbox } = tables;
  const lockKey = advisoryKey(`outbox-relay:${schema}`);
  let isStopping = false;
  let isPoked = false;
  let wake: (() => void) | undefined;
  let loop: Promise<void> | undefined;
  let nextCleanAt = Date.now() + CLEAN_INTERVAL_MS;

  const poke = (): void => {
    isPoked = true;
    wake?.();
  };
  const removeListener = database.onCommit(poke);

  async function sleep(ms: number): Promise<void> {
    if (isPoked || isStopping) {
      isPoked = false;
      return;
    }
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    wake = undefined;
    isPoked = false;
  }

  async function publish(row: OutboxRow): Promise<void> {
    const headers = createHeaders();
    for (const [name, value] of Object.entries(row.headers)) headers.set(name, value);
    const ack = await bus.js.publish(row.subject, row.payload, {
      msgID: row.id,
      headers,
      timeout: PUBLISH_TIMEOUT_MS,
    });
    await database.db
      .update(outbox)
      .set({ publishedAt: sql`now()`, streamSeq: ack.seq })
      .where(sql`${outbox.id} = ${row.id}`);
  }

  /** Publishes one aggregate's rows one after the other; stops at the first failure to keep the order. */
  async function publishAggregate(rows: readonly OutboxRow[]): Promise<void> {
    for (const row of rows) {
      try {
        await publish(row);
      } catch (error) {
        const backoffMs = Math.min(BACKOFF_MAX_MS, 100 * 2 ** Math.min(row.attempts, 10));
        const aggregateRows = rows.slice(rows.indexOf(row)).map((waiting) => waiting.id);
        await database.db
          .update(outbox)
          .set({
            attempts: sql`${outbox.attempts} + 1`,
            nextAt: sql`now() + ${`${backoffMs} milliseconds`}::interval`,
          })
          .where(inArray(outbox.id, aggregateRows));
        throw error;
      }
    }
  }

  // a row that waits out its backoff holds back the later rows of its aggregate, or they would overtake it
  const earlier = alias(outbox, 'earlier');
  const isNextOfItsAggregate = notExists(
    database.db
      .select({ one: sql`1` })
      .from(earlier)
      .where(
        and(
          isNull(earlier.publishedAt),
          eq(earlier.aggregate, outbox.aggregate),
          eq(earlier.aggregateId, outbox.aggregateId),
          lte(earlier.seq, outbox.seq),
          gt(earlier.nextAt, sql`now()`),
        ),
      ),
  );

  async function relayBatch(): Promise<number> {
    const rows = await database.db
      .select()
      .from(outbox)
      .where(and(isNull(outbox.publishedAt), isNextOfItsAggregate))
      .orderBy(asc(outbox.seq))
      .limit(BATCH_ROWS);
    const byAggregate = new Map<string, OutboxRow[]>();
    for (const row of rows) {
      const key = `${row.aggregate}:${row.aggregateId}`;
      const group = byAggregate.get(key);
      if (group === undefined) byAggregate.set(key, [row]);
      else group.push(row);
    }
    const outcomes = await Promise.allSettled(
      [...byAggregate.values()].map((group) => publishAggregate(group)),
    );
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    return rows.length;
  }

  async function clean(): Promise<void> {
    if (Date.now() < nextCleanAt) return;
    nextCleanAt = Date.now() + CLEAN_INTERVAL_MS;
    const old = sql`now() - ${`${RETENTION_DAYS} days`}::interval`;
    await database.db.delete(outbox).where(lt(outbox.publishedAt, old));
    await database.db.delete(tables.inbox).where(lt(tables.inbox.at, old));
  }

  /** Relays for as long as this process holds the lock and its connection lives. */
  async function lead(client: pg.PoolClient): Promise<void> {
    let isAlive = true;
    const onError = (): void => {
      isAlive = false;
    };
    client.on('error', onError);
    client.on('end', onError);
    let failures = 0;
    while (!isStopping && isAlive) {
      try {
        const count = await relayBatch();
        failures = 0;
        await clean();
        if (count < BATCH_ROWS) await sleep(POLL_MS);
      } catch (error) {
        failures += 1;
        bus.logger.warn(
          { schema, error: String(error), failures },
          'outbox relay could not publish; it will try again',
        );
        await sleep(Math.min(BACKOFF_MAX_MS, 100 * 2 ** failures));
        await client.query('select 1');
      }
    }
  }

  async function run(): Promise<void> {
    while (!isStopping) {
      let client: pg.PoolClient | undefined;
      try {
        client = await database.pool.connect();
        const { rows } = await client.query<{ locked: boolean }>(
          'select pg_try_advisory_lock($1) as locked',
          [lockKey],
        );
        if (rows[0]?.locked === true) await lead(client);
        else await sleep(LOCK_RETRY_MS);
      } catch (error) {
        bus.logger.warn(
          { schema, error: String(error) },
          'outbox relay lost its database; it will try again',
        );
        await sleep(LOCK_RETRY_MS);
      } finally {
        // ending the session gives the lock back
        client?.release(true);
      }
    }
  }

  return {
    start() {
      loop ??= run();
    },
    poke,
    async pending() {
      const [row] = await database.db
        .select({ count: sql<number>`count(*)::int` })
        .from(outbox)
        .where(isNull(outbox.publishedAt));
      return row?.count ?? 0;
    },
    async stop() {
      removeListener();
      isStopping = true;
      wake?.();
      await loop;
    },
  };
}
