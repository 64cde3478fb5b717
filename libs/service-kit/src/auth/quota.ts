import type { TenantCount, TenantQuota } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';

/** Bounds of tenants, as the gateway last told them. */
export type QuotaOf = (tenant: string) => TenantQuota;

const WORDS: Readonly<Record<TenantCount, string>> = {
  models: 'models',
  modelBytes: 'bytes of model versions',
  artifactBytes: 'bytes of artifacts',
  datasetBytes: 'bytes of dataset versions',
  openJobs: 'jobs of this kind that have not ended',
};

/**
 * Checks that a tenant may have `more` of something; `count` tells what it has now, and is only asked where there is a
 * bound.
 * @throws AppError `quota_reached`
 */
export async function assertQuota(
  quota: TenantQuota,
  what: TenantCount,
  more: number,
  count: () => Promise<number>,
): Promise<void> {
  const limit = quota[what];
  if (limit === undefined) return;
  const used = await count();
  if (used + more <= limit) return;
  throw new AppError(
    'quota_reached',
    `The tenant may have ${limit} ${WORDS[what]} and has ${used}; ${more} more do not fit. Remove some, or ask the platform for more.`,
    { details: { quota: what, limit, used, more } },
  );
}
