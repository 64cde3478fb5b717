/** Requests of one version that asked the cache. */
export type CacheTotals = {
  hits: number;
  /** Rows of hits. */
  hitRows: number;
  /** Looking up (ms). */
  hitMs: number;
  /** From the arrival of the body to the answer (ms). */
  hitRequestMs: number;
  misses: number;
  /** Looking up and keeping (ms). */
  missMs: number;
  /** Time of the last hit (ms since 1970). */
  lastHitAt: number;
};

export function createCacheTotals(): CacheTotals {
  return { hits: 0, hitRows: 0, hitMs: 0, hitRequestMs: 0, misses: 0, missMs: 0, lastHitAt: 0 };
}
