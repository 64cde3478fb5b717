import type { Database } from '@millrace/database';
import { sqlState } from '@millrace/database';

const DAY_MS = 24 * 60 * 60_000;
/** Partitions are made this many days ahead, so that midnight needs no thought. */
const DAYS_AHEAD = 3;
const NAME = /^predictions_p(\d{4})(\d{2})(\d{2})$/;

/** The day of an instant in UTC, `2026-11-21`. */
export function dayOf(time: Date): string {
  return time.toISOString().slice(0, 10);
}

/** Name of the partition of a day. */
export function partitionName(day: string): string {
  return `predictions_p${day.replaceAll('-', '')}`;
}

export type Partitions = {
  /** Makes the partitions of these days where they are missing. */
  ensure(days: Iterable<string>): Promise<void>;
  /** Looks again at the database for what is there. */
  forget(): void;
  /** Makes those of the next days and removes those past the retention; returns the days removed. */
  maintain(now: Date, retentionDays: number): Promise<string[]>;
};

/** The daily partitions of `monitoring.predictions`. */
export function createPartitions(database: Database): Partitions {
  const known = new Set<string>();

  async function make(day: string): Promise<void> {
    const next = dayOf(new Date(Date.parse(day) + DAY_MS));
    // names and bounds are made of digits only
    const statement = `create table if not exists monitoring.${partitionName(day)} partition of monitoring.predictions
      for values from ('${day}T00:00:00Z') to ('${next}T00:00:00Z')`;
    await database.pool.query(statement).catch((error: unknown) => {
      // another replica made it in the same moment
      if (sqlState(error) !== '42P07' && sqlState(error) !== '23505') throw error;
    });
    known.add(day);
  }

  async function existing(): Promise<string[]> {
    const { rows } = await database.pool.query<{ name: string }>(
      `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
       where i.inhparent = 'monitoring.predictions'::regclass`,
    );
    return rows.map(({ name }) => name);
  }

  return {
    async ensure(days) {
      for (const day of days) if (!known.has(day)) await make(day);
    },
    forget: () => known.clear(),
    async maintain(now, retentionDays) {
      for (let ahead = 0; ahead <= DAYS_AHEAD; ahead += 1)
        await make(dayOf(new Date(now.getTime() + ahead * DAY_MS)));
      const oldest = dayOf(new Date(now.getTime() - retentionDays * DAY_MS));
      const removed: string[] = [];
      for (const name of await existing()) {
        const [, year, month, date] = NAME.exec(name) ?? [];
        const day = `${year}-${month}-${date}`;
        if (year === undefined || day >= oldest) continue;
        await database.pool.query(`drop table if exists monitoring.${name}`);
        known.delete(day);
        removed.push(day);
      }
      await database.pool.query('delete from monitoring.feedback where received_at < $1', [
        `${oldest}T00:00:00Z`,
      ]);
      await database.pool.query('delete from monitoring.feedback_history where received_at < $1', [
        `${oldest}T00:00:00Z`,
      ]);
      return removed;
    },
  };
}
