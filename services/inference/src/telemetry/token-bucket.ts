/** Lets through a number of things a second; one second's worth may come at once. */
export type TokenBucket = {
  /** Whether `count` more may come. The last of a second may be larger than what is left: the next wait for it. */
  take(count?: number): boolean;
};

export function createTokenBucket(perSecond: number): TokenBucket {
  let tokens = perSecond;
  let refilledAt = performance.now();
  return {
    take(count = 1) {
      const now = performance.now();
      tokens = Math.min(perSecond, tokens + ((now - refilledAt) / 1_000) * perSecond);
      refilledAt = now;
      if (tokens < 1) return false;
      tokens -= count;
      return true;
    },
  };
}
