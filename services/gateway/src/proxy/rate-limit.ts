import { AppError } from '@millrace/contracts';

/** Principals whose use is remembered; the one idle longest is forgotten first, with a full bucket. */
const PRINCIPALS_MAX = 10_000;
/** A bucket holds this many seconds' worth of requests. */
const BURST_SECONDS = 2;

type Bucket = { tokens: number; atMs: number };

/** Takes one request from a principal's bucket; throws `rate_limited` with the seconds to wait when it is empty. */
export type RateLimit = (principalId: string) => void;

/** A token bucket for each principal; `nowMs` is a monotonic clock in milliseconds. */
export function createRateLimit(options: { perSecond: number; nowMs?: () => number }): RateLimit {
  const { perSecond } = options;
  const nowMs = options.nowMs ?? (() => performance.now());
  const size = perSecond * BURST_SECONDS;
  const buckets = new Map<string, Bucket>();
  return (principalId) => {
    const now = nowMs();
    const bucket = buckets.get(principalId) ?? { tokens: size, atMs: now };
    // Taken out and put back, so that the map stays in order of last use.
    buckets.delete(principalId);
    buckets.set(principalId, bucket);
    if (buckets.size > PRINCIPALS_MAX) buckets.delete(buckets.keys().next().value as string);
    bucket.tokens = Math.min(size, bucket.tokens + ((now - bucket.atMs) / 1000) * perSecond);
    bucket.atMs = now;
    if (bucket.tokens >= 1) {
      bucket.tokens -= 1;
      return;
    }
    const retryAfterSeconds = (1 - bucket.tokens) / perSecond;
    throw new AppError('rate_limited', `Over ${perSecond} requests a second; wait and send fewer.`, {
      details: { retryAfterSeconds, limitPerSecond: perSecond },
    });
  };
}
