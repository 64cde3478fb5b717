import { AppError } from '@millrace/contracts';
import type { TenantLimits } from '../tenants/tenant.table.ts';
import type { Bucket } from './token-bucket.ts';
import { BURST_SECONDS, fullBucket, takeToken } from './token-bucket.ts';

/** What a request that was let in tells its caller about the tenant's rate. */
export type RateNotice = {
  readonly limit: number;
  readonly remaining: number;
  readonly resetSeconds: number;
};

export type TenantQuotas = {
  /** Lets a request in and counts it until `leave`; throws `quota_exceeded` with the seconds to wait. */
  enter(tenant: string): RateNotice | undefined;
  leave(tenant: string): void;
  /** Requests of a tenant that this process is answering. */
  concurrent(tenant: string): number;
};

type Use = { concurrent: number; bucket: Bucket | undefined };

/**
 * Bounds on the requests of each tenant, which may change at any time: `limitsOf` is asked for every request. Each
 * gateway counts for itself.
 */
export function createTenantQuotas(options: {
  limitsOf: (tenant: string) => TenantLimits | undefined;
  nowMs?: () => number;
}): TenantQuotas {
  const { limitsOf, nowMs = () => performance.now() } = options;
  const uses = new Map<string, Use>();

  function useOf(tenant: string): Use {
    const known = uses.get(tenant);
    if (known !== undefined) return known;
    const made = { concurrent: 0, bucket: undefined };
    uses.set(tenant, made);
    return made;
  }

  function take(use: Use, perSecond: number): RateNotice {
    const now = nowMs();
    use.bucket ??= fullBucket(perSecond, now);
    const waitSeconds = takeToken(use.bucket, perSecond, now);
    const remaining = Math.floor(use.bucket.tokens);
    const missing = perSecond * BURST_SECONDS - use.bucket.tokens;
    if (waitSeconds === undefined)
      return { limit: perSecond, remaining, resetSeconds: Math.ceil(missing / perSecond) };
    throw new AppError(
      'quota_exceeded',
      `The tenant is over its ${perSecond} requests a second; send fewer.`,
      {
        details: { retryAfterSeconds: waitSeconds, quota: 'requestsPerSecond', limit: perSecond },
      },
    );
  }

  return {
    enter(tenant) {
      const use = useOf(tenant);
      const { requestsPerSecond, concurrentRequests } = limitsOf(tenant) ?? {};
      if (concurrentRequests !== undefined && use.concurrent >= concurrentRequests)
        throw new AppError(
          'quota_exceeded',
          `The tenant has ${concurrentRequests} requests open, as many as it may; wait for one to end.`,
          { details: { retryAfterSeconds: 1, quota: 'concurrentRequests', limit: concurrentRequests } },
        );
      const notice = requestsPerSecond === undefined ? undefined : take(use, requestsPerSecond);
      use.concurrent += 1;
      return notice;
    },
    leave(tenant) {
      const use = useOf(tenant);
      use.concurrent -= 1;
      // a tenant without anything open and with no rate to remember is forgotten
      if (use.concurrent === 0 && use.bucket === undefined) uses.delete(tenant);
    },
    concurrent: (tenant) => uses.get(tenant)?.concurrent ?? 0,
  };
}
