/** A bucket holds this many seconds' worth of requests. */
export const BURST_SECONDS = 2;

export type Bucket = { tokens: number; atMs: number };

/** A full bucket. */
export function fullBucket(perSecond: number, nowMs: number): Bucket {
  return { tokens: perSecond * BURST_SECONDS, atMs: nowMs };
}

/** Takes a token if there is one; otherwise gives the seconds until there is. */
export function takeToken(bucket: Bucket, perSecond: number, nowMs: number): number | undefined {
  const filled = bucket.tokens + ((nowMs - bucket.atMs) / 1_000) * perSecond;
  bucket.tokens = Math.min(perSecond * BURST_SECONDS, filled);
  bucket.atMs = nowMs;
  if (bucket.tokens < 1) return (1 - bucket.tokens) / perSecond;
  bucket.tokens -= 1;
  return undefined;
}
