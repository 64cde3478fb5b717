import type { Database } from '@millrace/database';
import type { TenantQuotas } from '../admission/tenant-quotas.ts';
import type { UsageCounts } from '../audit/audit.repository.ts';
import { createAuditRepository } from '../audit/audit.repository.ts';
import type { AuditWriter } from '../audit/audit.writer.ts';
import { createKeyRepository } from '../keys/key.repository.ts';
import { createPrincipalRepository } from '../principals/principal.repository.ts';

const DAY_MS = 24 * 60 * 60_000;

/** What a tenant uses: now at this gateway, and by the hour at all of them. */
export type Usage = (tenant: string) => Promise<{
  concurrentRequests: number;
  principals: number;
  keys: number;
  lastDay: UsageCounts;
  last30Days: UsageCounts;
}>;

export function createUsage(deps: { database: Database; quotas: TenantQuotas; audit: AuditWriter }): Usage {
  const { database, quotas, audit } = deps;
  const used = createAuditRepository(database.db);
  return async (tenant) => {
    // what was counted a moment ago is part of the answer
    await audit.flush();
    const now = Date.now();
    return {
      concurrentRequests: quotas.concurrent(tenant),
      principals: await createPrincipalRepository(database.db).countOf(tenant),
      keys: await createKeyRepository(database.db).countActive(tenant),
      lastDay: await used.usageSince(tenant, new Date(now - DAY_MS)),
      last30Days: await used.usageSince(tenant, new Date(now - 30 * DAY_MS)),
    };
  };
}
