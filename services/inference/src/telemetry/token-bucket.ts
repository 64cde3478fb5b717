/** Lets through a number of things a second; one second's worth may come at once. */
export type TokenBucket = { take(): boolean };

export function createTokenBucket(perSecond: number): TokenBucket {
  let tokens = perSecond;
  let refilledAt = performance.now();
  return {
    take() {
      const now = performance.now();
      tokens = Math.min(perSecond, tokens + ((now - refilledAt) / 1_000) * perSecond);
      refilledAt = now;
      if (tokens < 1) return false;
      tokens -= 1;
      return true;
    },
  };
}
