import type { Logger } from '@millrace/service-kit';
import type { Partitions } from './partitions.ts';

/** How often partitions are made ahead and old ones removed (ms). */
const INTERVAL_MS = 60 * 60_000;
/** A round that failed is tried again after this (ms). */
const RETRY_MS = 30_000;

/** Keeps the partitions of the next days ready and removes days past the retention, now and every hour. */
export function startRetention(
  partitions: Partitions,
  retentionDays: number,
  logger: Logger,
): { stop(): Promise<void> } {
  let timer: NodeJS.Timeout | undefined;
  let isStopped = false;

  async function round(): Promise<void> {
    let waitMs = INTERVAL_MS;
    try {
      const removed = await partitions.maintain(new Date(), retentionDays);
      if (removed.length > 0) logger.info({ days: removed }, 'Old predictions removed');
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
