import type { Database } from '@millrace/database';
import type { Logger } from '@millrace/service-kit';
import { matchLeftOver } from '../feedback/feedback-match.ts';
import type { RetentionDays } from '../rollups/time-cover.ts';
import { keptSince } from '../rollups/time-cover.ts';
import type { Partitions } from './partitions.ts';

/** How often partitions are made ahead and old ones removed (ms). */
const INTERVAL_MS = 60 * 60_000;
/** A round that failed is tried again after this (ms). */
const RETRY_MS = 30_000;

/** Removes roll-ups past their retention; returns how many. */
export async function removeOldRollups(database: Database, now: Date, days: RetentionDays): Promise<number> {
  let removed = 0;
  for (const [widthSeconds, kept] of [
    [60, days.minutes],
    [3_600, days.hours],
    [86_400, days.days],
  ] as const) {
    const { rowCount } = await database.pool.query(
      'delete from monitoring.rollups where width_seconds = $1 and start_at < $2',
      [widthSeconds, new Date(keptSince(now.getTime(), kept))],
    );
    removed += rowCount ?? 0;
  }
  return removed;
}

/**
 * Keeps the partitions of the next days ready, removes what is past the retention and joins feedback that was left
 * over, now and every hour.
 */
export function startRetention(deps: {
  database: Database;
  partitions: Partitions;
  days: RetentionDays;
  logger: Logger;
}): { stop(): Promise<void> } {
  const { database, partitions, days, logger } = deps;
  let timer: NodeJS.Timeout | undefined;
  /** Feedback received before this was looked at already. */
  let matchedUntil = new Date(0);
  let isStopped = false;

  async function round(): Promise<void> {
    let waitMs = INTERVAL_MS;
    try {
      const now = new Date();
      const removed = await partitions.maintain(now, days.predictions);
      if (removed.length > 0) logger.info({ days: removed }, 'Old predictions removed');
      await removeOldRollups(database, now, days);
      await matchLeftOver(database, matchedUntil);
      matchedUntil = new Date(now.getTime() - INTERVAL_MS);
    } catch (error) {
      waitMs = RETRY_MS;
      logger.warn({ err: error }, 'Partitions could not be maintained; trying again.');
    }
    if (isStopped) return;
    timer = setTimeout(() => {
      running = round();
    }, waitMs).unref();
  }

  let running = round();
  return {
    async stop() {
      isStopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}
