import { AppError, isAppError } from '@millrace/contracts';

export type GroupCommit<Item, Result> = {
  /** Resolves with the item's result once the transaction that holds it is committed. Throws `queue_full`. */
  add(item: Item): Promise<Result>;
};

type Waiting<Item, Result> = {
  readonly item: Item;
  resolve(result: Result): void;
  reject(error: unknown): void;
};

/**
 * Writes items that come at the same time in one transaction. What comes while a write is under way waits for it and
 * goes together in the next; an item that comes alone is written at once. A write that fails for any other reason
 * than an absent database is repeated item by item, so that one bad item harms no other.
 */
export function createGroupCommit<Item, Result>(options: {
  /** One result for each item, in their order. */
  write(items: readonly Item[]): Promise<readonly Result[]>;
  sizeOf(item: Item): number;
  /** Sizes of the items of one transaction, summed; a larger single item goes alone. */
  sizeMax: number;
  /** Items that may wait; more are refused. */
  waitingMax: number;
}): GroupCommit<Item, Result> {
  const { write, sizeOf, sizeMax, waitingMax } = options;
  let waiting: Waiting<Item, Result>[] = [];
  let isWriting = false;

  function take(): Waiting<Item, Result>[] {
    let size = 0;
    const count = waiting.findIndex(({ item }, index) => {
      size += sizeOf(item);
      return index > 0 && size > sizeMax;
    });
    const group = count === -1 ? waiting : waiting.slice(0, count);
    waiting = count === -1 ? [] : waiting.slice(count);
    return group;
  }

  async function writeGroup(group: readonly Waiting<Item, Result>[]): Promise<void> {
    try {
      const results = await write(group.map(({ item }) => item));
      for (const [index, one] of group.entries()) one.resolve(results[index] as Result);
    } catch (error) {
      if (group.length > 1 && !(isAppError(error) && error.retryable)) {
        for (const one of group) await writeGroup([one]);
      } else for (const one of group) one.reject(error);
    }
  }

  async function writeAll(): Promise<void> {
    while (waiting.length > 0) await writeGroup(take());
    isWriting = false;
  }

  return {
    add: (item) =>
      new Promise((resolve, reject) => {
        if (waiting.length >= waitingMax) {
          reject(new AppError('queue_full', `${waitingMax} writes wait already; try again.`));
          return;
        }
        waiting.push({ item, resolve, reject });
        if (isWriting) return;
        isWriting = true;
        // requests that were read in this turn of the event loop join
        setImmediate(() => void writeAll());
      }),
  };
}
