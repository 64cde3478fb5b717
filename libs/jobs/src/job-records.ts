import type { TenantRecords } from '@millrace/bus';
import type { Database, Executor } from '@millrace/database';
import { lockName } from '@millrace/database';
import { assertQuota } from '@millrace/service-kit';
import { and, count, eq, inArray, sql } from 'drizzle-orm';
import type { JobTables } from './job.table.ts';
import type { JobServiceOptions } from './job-options.ts';

const OPEN = ['queued', 'running', 'cancelling'] as const;

/** Jobs of a tenant that have not ended. */
async function countOpenJobs(db: Executor, { jobs }: JobTables, tenant: string): Promise<number> {
  const [row] = await db
    .select({ open: count() })
    .from(jobs)
    .where(and(eq(jobs.tenant, tenant), inArray(jobs.state, [...OPEN])));
  return row?.open ?? 0;
}

/** Checks that a job which was just made is within the bound of its tenant. @throws AppError `quota_reached` */
export async function assertJobRoom(
  tx: Executor,
  { service, tables, quotaOf }: Pick<JobServiceOptions, 'service' | 'tables' | 'quotaOf'>,
  tenant: string,
): Promise<void> {
  await assertQuota(quotaOf?.(tenant) ?? {}, 'openJobs', 1, async () => {
    await lockName(tx, `quota:${service}:jobs:${tenant}`);
    return (await countOpenJobs(tx, tables, tenant)) - 1;
  });
}

/** What a service that owns jobs of a kind knows of a tenant: the files that they made, and how many are open. */
export function jobRecords(database: Database, tables: JobTables, kind: string): TenantRecords {
  const { jobs } = tables;
  return {
    async owned(tenant, digests) {
      const { rows } = await database.db.execute<{ sha256: string }>(
        sql`select distinct file ->> 'sha256' as sha256
          from ${jobs}, jsonb_array_elements(${jobs.result} -> 'files') as file
          where ${jobs.tenant} = ${tenant} and ${jobs.state} = 'succeeded'
            and file ->> 'sha256' in (select jsonb_array_elements_text(${JSON.stringify(digests)}::jsonb))`,
      );
      return rows.map(({ sha256 }) => sha256);
    },
    usage: async (tenant) => ({ openJobs: { [kind]: await countOpenJobs(database.db, tables, tenant) } }),
  };
}
