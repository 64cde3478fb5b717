import type { Database } from '@millrace/database';
import type { Logger } from '@millrace/service-kit';

/** How often deleted views are looked for (ms). */
const INTERVAL_MS = 60_000;
/** Rows that one statement removes. */
const ROWS_MAX = 5_000;
/** Until then another process may still write by a definition that it holds. */
const GRACE = '10 minutes';

const DELETED =
  'select id from datasets.feature_views where deleted_at is not null order by deleted_at limit 100';
const REMOVE_HISTORY = `delete from datasets.feature_history h
  using (select entity, event_us, created_us, seq from datasets.feature_history where view_id = $1 limit ${ROWS_MAX}) d
  where h.view_id = $1 and (h.entity, h.event_us, h.created_us, h.seq) = (d.entity, d.event_us, d.created_us, d.seq)`;
const REMOVE_VALUES = `delete from datasets.feature_values v
  using (select entity from datasets.feature_values where view_id = $1 limit ${ROWS_MAX}) d
  where v.view_id = $1 and v.entity = d.entity`;
const REMOVE_VIEW = `delete from datasets.feature_views where id = $1 and deleted_at < now() - interval '${GRACE}'`;

/** Removes the rows of deleted views, some thousand at a time. */
export async function sweepViews({ pool }: Pick<Database, 'pool'>, isStopped = () => false): Promise<void> {
  for (const { id } of (await pool.query<{ id: string }>(DELETED)).rows) {
    for (const statement of [REMOVE_VALUES, REMOVE_HISTORY])
      for (let removed = ROWS_MAX; removed > 0 && !isStopped(); )
        removed = (await pool.query(statement, [id])).rowCount ?? 0;
    if (!isStopped()) await pool.query(REMOVE_VIEW, [id]);
  }
}

/** Does that now and every minute. */
export function startViewSweeper(database: Database, logger: Logger): { stop(): Promise<void> } {
  let timer: NodeJS.Timeout | undefined;
  let isStopped = false;

  async function round(): Promise<void> {
    try {
      await sweepViews(database, () => isStopped);
    } catch (error) {
      logger.warn({ err: error }, 'Rows of deleted feature views were not removed; trying again.');
    }
    if (isStopped) return;
    timer = setTimeout(() => {
      running = round();
    }, INTERVAL_MS).unref();
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
