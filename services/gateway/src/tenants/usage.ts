import type { Bus } from '@millrace/bus';
import { usageAt } from '@millrace/bus';
import type { TenantUsage } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { TenantQuotas } from '../admission/tenant-quotas.ts';
import type { UsageCounts } from '../audit/audit.repository.ts';
import { createAuditRepository } from '../audit/audit.repository.ts';
import type { AuditWriter } from '../audit/audit.writer.ts';
import { createKeyRepository } from '../keys/key.repository.ts';
import { createPrincipalRepository } from '../principals/principal.repository.ts';

const DAY_MS = 24 * 60 * 60_000;

/** Services that keep something for tenants. */
const OWNERS = ['registry', 'datasets', 'training-orchestrator', 'converter', 'inference'] as const;

/** What a tenant uses: now at this gateway, and by the hour at all of them. */
export type Usage = (tenant: string) => Promise<{
  concurrentRequests: number;
  principals: number;
  keys: number;
  /** What services keep for it, and those that did not answer. */
  kept: TenantUsage;
  unavailable: string[];
  lastDay: UsageCounts;
  last30Days: UsageCounts;
}>;

/** What all of them keep, jobs by kind; who does not answer is named. */
async function keptFor(bus: Bus, tenant: string): Promise<{ kept: TenantUsage; unavailable: string[] }> {
  const answers = await Promise.allSettled(OWNERS.map((service) => usageAt(bus, service, tenant)));
  const told = answers.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const openJobs = Object.assign({}, ...told.map((one) => one.openJobs ?? {}));
  return {
    kept: Object.assign({}, ...told, { openJobs }),
    unavailable: OWNERS.filter((_, index) => answers[index]?.status === 'rejected'),
  };
}

export function createUsage(deps: {
  database: Database;
  bus: Bus;
  quotas: TenantQuotas;
  audit: AuditWriter;
}): Usage {
  const { database, bus, quotas, audit } = deps;
  const used = createAuditRepository(database.db);
  return async (tenant) => {
    // what was counted a moment ago is part of the answer
    await audit.flush();
    const now = Date.now();
    return {
      concurrentRequests: quotas.concurrent(tenant),
      principals: await createPrincipalRepository(database.db).countOf(tenant),
      keys: await createKeyRepository(database.db).countActive(tenant),
      ...(await keptFor(bus, tenant)),
      lastDay: await used.usageSince(tenant, new Date(now - DAY_MS)),
      last30Days: await used.usageSince(tenant, new Date(now - 30 * DAY_MS)),
    };
  };
}
