import type { TenantUsage } from '@millrace/contracts';
import { AppError, isAppError, ownedDigestsMethod, tenantUsageMethod } from '@millrace/contracts';
import type { Bus } from './bus.ts';
import { callRpc, serveRpc } from './rpc.ts';

/** Reading what belongs to a tenant may take this long (ms). */
const ANSWER_TIMEOUT_MS = 10_000;

/** What a service knows of the things of a tenant. */
export type TenantRecords = {
  /** Which of the digests are of files that it keeps for the tenant. */
  owned(tenant: string, digests: readonly string[]): Promise<string[]>;
  usage(tenant: string): Promise<TenantUsage>;
};

/** Answers `owned-digests` and `tenant-usage` of a service. */
export function serveTenantRecords(
  deps: { bus: Bus; service: string },
  records: TenantRecords,
): { stop(): Promise<void> } {
  const { bus, service } = deps;
  const served = [
    serveRpc(bus, service, 'owned-digests', ownedDigestsMethod, async ({ tenant, digests }) => ({
      owned: await records.owned(tenant, digests),
    })),
    serveRpc(bus, service, 'tenant-usage', tenantUsageMethod, ({ tenant }) => records.usage(tenant)),
  ];
  return {
    async stop() {
      await Promise.all(served.map((one) => one.stop()));
    },
  };
}

/**
 * Checks that each digest is of a file that one of the services keeps for the tenant. An answer tells nothing of whether
 * anybody else has such a file.
 * @throws AppError `file_not_owned`, and `dependency_unavailable` where a service that may have it does not answer
 */
export async function assertOwned(
  bus: Bus,
  services: readonly string[],
  tenant: string,
  digests: readonly string[],
): Promise<void> {
  let left = [...new Set(digests)];
  let silent: AppError | undefined;
  for (const service of services) {
    if (left.length === 0) return;
    try {
      const request = { tenant, digests: left };
      const { owned } = await callRpc(bus, service, 'owned-digests', ownedDigestsMethod, request, {
        timeoutMs: ANSWER_TIMEOUT_MS,
      });
      left = left.filter((digest) => !owned.includes(digest));
    } catch (error) {
      if (!isAppError(error) || !error.retryable) throw error;
      silent = error;
    }
  }
  if (left.length === 0) return;
  if (silent !== undefined) throw silent;
  throw new AppError(
    'file_not_owned',
    `Your tenant has no file with the SHA-256 ${left[0]}; name files of its own trainings, conversions, datasets or models.`,
  );
}

/** What a service keeps for a tenant. @throws AppError `dependency_unavailable` */
export const usageAt = (bus: Bus, service: string, tenant: string): Promise<TenantUsage> =>
  callRpc(bus, service, 'tenant-usage', tenantUsageMethod, { tenant }, { timeoutMs: ANSWER_TIMEOUT_MS });
