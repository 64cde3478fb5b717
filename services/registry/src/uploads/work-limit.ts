import { AppError } from '@millrace/contracts';

export type WorkLimit = <T>(work: () => Promise<T>) => Promise<T>;

/** Runs at most `atOnce` works; up to `waitingMax` more wait in line, further ones get `queue_full`. */
export function createWorkLimit(atOnce: number, waitingMax: number): WorkLimit {
  const line: (() => void)[] = [];
  let running = 0;
  return async (work) => {
    if (running >= atOnce) {
      if (line.length >= waitingMax)
        throw new AppError('queue_full', `${waitingMax} uploads wait already; try again in a moment.`);
      await new Promise<void>((resolve) => line.push(resolve));
    } else running += 1;
    try {
      return await work();
    } finally {
      const next = line.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}
