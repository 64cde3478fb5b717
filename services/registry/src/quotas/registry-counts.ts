import type { TenantRecords } from '@millrace/bus';
import type { Database, Executor } from '@millrace/database';
import { and, count, eq, isNull, sql } from 'drizzle-orm';
import type { ModelTables } from '../models/model.table.ts';
import type { ArtifactTables } from '../tracking/artifact.table.ts';
import type { VersionTables } from '../versions/version.table.ts';

export type RegistryTables = Pick<ModelTables, 'models'> &
  Pick<VersionTables, 'modelVersions' | 'packageFiles'> &
  Pick<ArtifactTables, 'artifacts'>;
export type RegistryCounts = ReturnType<typeof createRegistryCounts>;

/** Counts what the registry keeps for a tenant. */
export function createRegistryCounts({ models, modelVersions, packageFiles, artifacts }: RegistryTables) {
  /** Files of the versions of a tenant. */
  const files = sql`${packageFiles}
    join ${modelVersions} on ${modelVersions.packageDigest} = ${packageFiles.packageDigest}
    join ${models} on ${models.id} = ${modelVersions.modelId}`;

  return {
    async models(db: Executor, tenant: string): Promise<number> {
      const [row] = await db
        .select({ models: count() })
        .from(models)
        .where(and(eq(models.tenant, tenant), isNull(models.deletedAt)));
      return row?.models ?? 0;
    },
    /** Bytes of the files of versions, each digest once. */
    async modelBytes(db: Executor, tenant: string): Promise<number> {
      const { rows } = await db.execute<{ bytes: number }>(
        sql`select coalesce(sum(size_bytes), 0)::float8 as bytes from (
          select distinct ${packageFiles.sha256}, ${packageFiles.sizeBytes} as size_bytes
          from ${files} where ${models.tenant} = ${tenant}) as each_once`,
      );
      return rows[0]?.bytes ?? 0;
    },
    async artifactBytes(db: Executor, tenant: string): Promise<number> {
      const [row] = await db
        .select({ bytes: sql<number>`coalesce(sum(${artifacts.sizeBytes}), 0)::float8` })
        .from(artifacts)
        .where(eq(artifacts.tenant, tenant));
      return row?.bytes ?? 0;
    },
    /** Which of the digests are of files of its versions or of its artifacts. */
    async owned(db: Executor, tenant: string, digests: readonly string[]): Promise<string[]> {
      const asked = sql`(select jsonb_array_elements_text(${JSON.stringify(digests)}::jsonb))`;
      const { rows } = await db.execute<{ sha256: string }>(
        sql`select ${packageFiles.sha256} as sha256 from ${files}
          where ${models.tenant} = ${tenant} and ${packageFiles.sha256} in ${asked}
          union select ${artifacts.sha256} from ${artifacts}
          where ${artifacts.tenant} = ${tenant} and ${artifacts.sha256} in ${asked}`,
      );
      return rows.map(({ sha256 }) => sha256);
    },
  };
}

/** What the registry knows of a tenant, for other services. */
export function registryRecords({ db }: Database, counts: RegistryCounts): TenantRecords {
  return {
    owned: (tenant, digests) => counts.owned(db, tenant, digests),
    usage: async (tenant) => ({
      models: await counts.models(db, tenant),
      modelBytes: await counts.modelBytes(db, tenant),
      artifactBytes: await counts.artifactBytes(db, tenant),
    }),
  };
}
