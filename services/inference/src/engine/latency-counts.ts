/** Upper end of the first bucket (ms); four buckets double it. */
const FIRST_MS = 0.02;
const STEPS_PER_DOUBLING = 4;
/** The last bucket begins beyond a minute. */
const BUCKETS = 90;

/** A histogram of times in buckets that grow by a fifth; those of several processes are added bucket by bucket. */
export type LatencyCounts = number[];

export const createLatencyCounts = (): LatencyCounts => new Array<number>(BUCKETS).fill(0);

/** Counts one time (ms). */
export function countLatency(counts: LatencyCounts, ms: number): void {
  const bucket = Math.ceil(STEPS_PER_DOUBLING * Math.log2(ms / FIRST_MS));
  const index = Math.max(0, Math.min(BUCKETS - 1, bucket));
  counts[index] = (counts[index] as number) + 1;
}

/** The time (ms) that a share of all does not exceed, as the end of its bucket: at most a fifth too high; 0 of none. */
export function latencyQuantile(counts: readonly number[], share: number): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  let left = Math.ceil(total * share);
  if (left === 0) return 0;
  const index = counts.findIndex((count) => {
    left -= count;
    return left <= 0;
  });
  return FIRST_MS * 2 ** (index / STEPS_PER_DOUBLING);
}
