/** A share of the time of the event loop: what is spent comes back at that rate, and no more than `burstMs` is saved up. */
export type TimeBudget = {
  /** Whether anything is left. */
  has(): boolean;
  spend(ms: number): void;
};

/** `now` is in ms. */
export function createTimeBudget(
  share: number,
  burstMs: number,
  now: () => number = () => performance.now(),
): TimeBudget {
  let left = burstMs;
  let at = now();
  return {
    has() {
      const time = now();
      left = Math.min(burstMs, left + (time - at) * share);
      at = time;
      return left > 0;
    },
    spend(ms) {
      left -= ms;
    },
  };
}
