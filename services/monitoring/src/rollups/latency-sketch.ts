/**
 * The sketch of latencies: counts by bins whose bounds grow by a constant factor, so that every quantile is known to a
 * relative error. Bins are whole numbers and add up, whatever the order (Masson, Rim, Lee: DDSketch, VLDB 2019).
 */

/** A quantile is off by at most this share of its value. */
export const RELATIVE_ERROR = 0.01;
/** Latencies outside of these count as the nearest of them (ms); they bound the bins of a sketch to 1,152. */
export const LATENCY_MIN_MS = 1e-3;
export const LATENCY_MAX_MS = 1e7;

const GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR);
/** Logarithm of the factor between bounds of neighbouring bins. */
export const LOG_GAMMA = Math.log(GAMMA);

/** Bins that are not empty, by key. */
export type LatencySketch = Map<number, number>;

/** The bin of a latency (ms). */
export function latencyKey(latencyMs: number): number {
  const bounded = Math.min(Math.max(latencyMs, LATENCY_MIN_MS), LATENCY_MAX_MS);
  return Math.ceil(Math.log(bounded) / LOG_GAMMA);
}

/** The latency that stands for a bin (ms): no value of the bin is further from it than the relative error. */
function latencyOf(key: number): number {
  return (2 * GAMMA ** key) / (GAMMA + 1);
}

/** Counts `count` latencies of a bin. */
export function addToSketch(sketch: LatencySketch, key: number, count: number): void {
  sketch.set(key, (sketch.get(key) ?? 0) + count);
}

/**
 * Quantiles of a sketch (ms), each in [0, 1]; nulls for an empty one. The quantile q of n latencies is the one at place
 * floor(q (n - 1)) in their order.
 */
export function latencyQuantiles(sketch: LatencySketch, quantiles: readonly number[]): (number | null)[] {
  const bins = [...sketch].filter(([, count]) => count > 0).sort(([a], [b]) => a - b);
  const total = bins.reduce((sum, [, count]) => sum + count, 0);
  return quantiles.map((quantile) => {
    const place = quantile * (total - 1);
    let below = 0;
    for (const [key, count] of bins) {
      below += count;
      if (below > place) return latencyOf(key);
    }
    return null;
  });
}
