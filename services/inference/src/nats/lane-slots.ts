import type { InferLane } from '@millrace/bus';
import { inferLanes } from '@millrace/bus';
import { AppError } from '@millrace/contracts';

/** Places for work, given to whoever waits in the first lane that has somebody. */
export type LaneSlots = {
  /** Resolves with what gives the place back. Throws `shutting_down` once closed. */
  take(lane: InferLane): Promise<() => void>;
  close(): void;
};

type Waiting = { resolve(release: () => void): void; reject(error: AppError): void };

export function createLaneSlots(max: number): LaneSlots {
  const waiting = new Map<InferLane, Waiting[]>(inferLanes.map((lane) => [lane, []]));
  let free = max;
  let isClosed = false;

  function give(): void {
    while (free > 0) {
      const next = inferLanes.map((lane) => waiting.get(lane) ?? []).find((queue) => queue.length > 0);
      if (next === undefined) return;
      free -= 1;
      next.shift()?.resolve(release);
    }
  }

  function release(): void {
    free += 1;
    give();
  }

  const stopping = (): AppError => new AppError('shutting_down', 'The service is stopping; try again.');

  return {
    take(lane) {
      if (isClosed) return Promise.reject(stopping());
      return new Promise((resolve, reject) => {
        waiting.get(lane)?.push({ resolve, reject });
        give();
      });
    },
    close() {
      isClosed = true;
      for (const queue of waiting.values())
        for (const { reject } of queue.splice(0, queue.length)) reject(stopping());
    },
  };
}
