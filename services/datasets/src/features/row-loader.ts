import { AppError } from '@millrace/contracts';
import type { ValueRow } from './feature-value.repository.ts';

/** Entities in one statement. */
const ENTITIES_MAX = 1_000;
/** Entities that wait for a statement; more reads are refused. */
const WAITING_MAX = 20_000;
/** Statements at once; what is asked for meanwhile goes together into the next one. */
const STATEMENTS_MAX = 4;

type Read = (viewId: string, entities: readonly string[]) => Promise<readonly ValueRow[]>;
type Waiting = {
  entities: readonly string[];
  resolve(rows: readonly ValueRow[]): void;
  reject(error: unknown): void;
};

/**
 * Reads rows of many requests with few statements: the first go at once, and those that come while as many statements
 * run as may, wait and go together. The load of the database then grows with its speed and not with the requests.
 * @throws AppError `queue_full`, and what `read` throws
 */
export function createRowLoader(read: Read): Read {
  const waiting = new Map<string, Waiting[]>();
  let waitingEntities = 0;
  let running = 0;

  /** Requests for one view that fit into a statement. */
  function next(): { viewId: string; taken: Waiting[] } | undefined {
    for (const [viewId, queue] of waiting) {
      const taken: Waiting[] = [];
      let size = 0;
      while (queue[0] !== undefined && (size === 0 || size + queue[0].entities.length <= ENTITIES_MAX)) {
        size += queue[0].entities.length;
        taken.push(queue.shift() as Waiting);
      }
      waiting.delete(viewId);
      // the view waits behind the others for its next turn
      if (queue.length > 0) waiting.set(viewId, queue);
      waitingEntities -= size;
      return { viewId, taken };
    }
    return undefined;
  }

  async function run(viewId: string, taken: readonly Waiting[]): Promise<void> {
    try {
      const rows = await read(viewId, [...new Set(taken.flatMap(({ entities }) => entities))]);
      const [first, ...others] = taken;
      if (others.length === 0) return first?.resolve(rows);
      const byEntity = new Map(rows.map((row) => [row.entity, row]));
      for (const { entities, resolve } of taken)
        resolve(entities.flatMap((entity) => byEntity.get(entity) ?? []));
    } catch (error) {
      for (const { reject } of taken) reject(error);
    }
  }

  function pump(): void {
    while (running < STATEMENTS_MAX) {
      const batch = next();
      if (batch === undefined) return;
      running += 1;
      void run(batch.viewId, batch.taken).finally(() => {
        running -= 1;
        pump();
      });
    }
  }

  return (viewId, entities) => {
    if (waitingEntities + entities.length > WAITING_MAX)
      throw new AppError('queue_full', 'Too many feature values are being read; try again soon.');
    return new Promise((resolve, reject) => {
      const queue = waiting.get(viewId) ?? [];
      queue.push({ entities, resolve, reject });
      waiting.set(viewId, queue);
      waitingEntities += entities.length;
      pump();
    });
  };
}
