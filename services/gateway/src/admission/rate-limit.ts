import { AppError } from '@millrace/contracts';
import type { Bucket } from './token-bucket.ts';
import { fullBucket, takeToken } from './token-bucket.ts';

/** Principals whose use is remembered; the one idle longest is forgotten first, with a full bucket. */
const PRINCIPALS_MAX = 10_000;

/** Takes one request from a principal's bucket; throws `rate_limited` with the seconds to wait when it is empty. */
export type RateLimit = (principalId: string) => void;

/** A token bucket for each principal; `nowMs` is a monotonic clock in milliseconds. */
export function createRateLimit(options: { perSecond: number; nowMs?: () => number }): RateLimit {
  const { perSecond } = options;
  const nowMs = options.nowMs ?? (() => performance.now());
  const buckets = new Map<string, Bucket>();
  return (principalId) => {
    const now = nowMs();
    const bucket = buckets.get(principalId) ?? fullBucket(perSecond, now);
    // Taken out and put back, so that the map stays in order of last use.
    buckets.delete(principalId);
    buckets.set(principalId, bucket);
    if (buckets.size > PRINCIPALS_MAX) buckets.delete(buckets.keys().next().value as string);
    const retryAfterSeconds = takeToken(bucket, perSecond, now);
    if (retryAfterSeconds === undefined) return;
    throw new AppError('rate_limited', `Over ${perSecond} requests a second; wait and send fewer.`, {
      details: { retryAfterSeconds, limitPerSecond: perSecond },
    });
  };
}
