import type { ArtifactRef, QualityPolicy, WireError } from '@millrace/contracts';
import { behind, type Executor, type ListPlace, newestFirst } from '@millrace/database';
import { and, desc, eq, lt, ne, sql } from 'drizzle-orm';
import type { DatasetRow, DatasetTables, VersionRow, VersionSource } from './dataset.table.ts';

/** Reads and writes of datasets and versions. */
export function createDatasetRepository({ datasets, datasetVersions, versionRequests }: DatasetTables) {
  return {
    /** The dataset of this name, made when there is none. */
    async upsert(
      tx: Executor,
      row: { id: string; tenant: string; name: string; description: string },
    ): Promise<{
      dataset: DatasetRow;
      isNew: boolean;
    }> {
      const [inserted] = await tx.insert(datasets).values(row).onConflictDoNothing().returning();
      if (inserted !== undefined) return { dataset: inserted, isNew: true };
      const [existing] = await tx
        .select()
        .from(datasets)
        .where(and(eq(datasets.tenant, row.tenant), eq(datasets.name, row.name)));
      if (existing === undefined) throw new Error('a dataset was neither inserted nor found');
      return { dataset: existing, isNew: false };
    },

    async find(db: Executor, tenant: string, id: string): Promise<DatasetRow | undefined> {
      return (
        await db
          .select()
          .from(datasets)
          .where(and(eq(datasets.tenant, tenant), eq(datasets.id, id)))
      )[0];
    },

    async findByName(db: Executor, tenant: string, name: string): Promise<DatasetRow | undefined> {
      const [row] = await db
        .select()
        .from(datasets)
        .where(and(eq(datasets.tenant, tenant), eq(datasets.name, name)));
      return row;
    },

    /** The version of this ordinal; without one the newest, and one that is ready before any that is not. */
    async newestVersion(db: Executor, datasetId: string, ordinal?: number): Promise<VersionRow | undefined> {
      const [row] = await db
        .select()
        .from(datasetVersions)
        .where(
          and(
            eq(datasetVersions.datasetId, datasetId),
            ordinal === undefined ? undefined : eq(datasetVersions.ordinal, ordinal),
          ),
        )
        .orderBy(sql`${datasetVersions.state} = 'ready' desc`, desc(datasetVersions.ordinal))
        .limit(1);
      return row;
    },

    list: (db: Executor, tenant: string, options: { limit: number; after?: ListPlace }) =>
      db
        .select()
        .from(datasets)
        .where(and(eq(datasets.tenant, tenant), behind(datasets, options.after)))
        .orderBy(...newestFirst(datasets))
        .limit(options.limit),

    /** Bytes of the versions of a tenant that are there. */
    async bytesOf(db: Executor, tenant: string): Promise<number> {
      const [row] = await db
        .select({ bytes: sql<number>`coalesce(sum(${datasetVersions.sizeBytes}), 0)::float8` })
        .from(datasetVersions)
        .innerJoin(datasets, eq(datasets.id, datasetVersions.datasetId))
        .where(eq(datasets.tenant, tenant));
      return row?.bytes ?? 0;
    },

    /** Which of the digests are of files of versions of a tenant. */
    async owned(db: Executor, tenant: string, digests: readonly string[]): Promise<string[]> {
      const { rows } = await db.execute<{ sha256: string }>(
        sql`select distinct file ->> 'sha256' as sha256
          from ${datasetVersions} join ${datasets} on ${datasets.id} = ${datasetVersions.datasetId},
            jsonb_array_elements(${datasetVersions.files}) as file
          where ${datasets.tenant} = ${tenant}
            and file ->> 'sha256' in (select jsonb_array_elements_text(${JSON.stringify(digests)}::jsonb))`,
      );
      return rows.map(({ sha256 }) => sha256);
    },

    /** Holds the dataset so that two new versions cannot take the same ordinal. */
    lock: (tx: Executor, datasetId: string) =>
      tx.select({ id: datasets.id }).from(datasets).where(eq(datasets.id, datasetId)).for('update'),

    async findBySource(
      tx: Executor,
      datasetId: string,
      sourceSha256: string,
    ): Promise<VersionRow | undefined> {
      const [row] = await tx
        .select()
        .from(datasetVersions)
        .where(
          and(
            eq(datasetVersions.datasetId, datasetId),
            eq(datasetVersions.sourceSha256, sourceSha256),
            ne(datasetVersions.state, 'failed'),
          ),
        );
      return row;
    },

    async insertVersion(
      tx: Executor,
      row: {
        id: string;
        datasetId: string;
        source: VersionSource;
        sourceSha256: string;
        jobId: string | null;
      },
    ): Promise<VersionRow> {
      const [last] = await tx
        .select({ ordinal: sql<number>`coalesce(max(${datasetVersions.ordinal}), 0)::int` })
        .from(datasetVersions)
        .where(eq(datasetVersions.datasetId, row.datasetId));
      const [version] = await tx
        .insert(datasetVersions)
        .values({ ...row, ordinal: (last?.ordinal ?? 0) + 1, state: 'pending' })
        .returning();
      if (version === undefined) throw new Error('a dataset version was not inserted');
      return version;
    },

    async markReady(
      tx: Executor,
      versionId: string,
      ready: { digest: string; files: ArtifactRef[]; sizeBytes: number; meta: Record<string, unknown> },
    ): Promise<VersionRow | undefined> {
      const [row] = await tx
        .update(datasetVersions)
        .set({ ...ready, state: 'ready', readyAt: sql`now()` })
        .where(and(eq(datasetVersions.id, versionId), eq(datasetVersions.state, 'pending')))
        .returning();
      return row;
    },

    async markFailed(tx: Executor, versionId: string, error: WireError): Promise<VersionRow | undefined> {
      const [row] = await tx
        .update(datasetVersions)
        .set({ state: 'failed', error })
        .where(and(eq(datasetVersions.id, versionId), eq(datasetVersions.state, 'pending')))
        .returning();
      return row;
    },

    /** An ingestion whose data the policy refuses: failed, with its report and no digest. */
    async markRejected(
      tx: Executor,
      versionId: string,
      rejected: { error: WireError; files: ArtifactRef[]; sizeBytes: number; meta: Record<string, unknown> },
    ): Promise<VersionRow | undefined> {
      const [row] = await tx
        .update(datasetVersions)
        .set({ ...rejected, state: 'failed' })
        .where(and(eq(datasetVersions.id, versionId), eq(datasetVersions.state, 'pending')))
        .returning();
      return row;
    },

    /** The source of a version was read once more: an equal request makes a new version. */
    retireSource: (tx: Executor, versionId: string) =>
      tx
        .update(datasetVersions)
        .set({ sourceSha256: sql`${datasetVersions.sourceSha256} || '@' || ${versionId}::text` })
        .where(eq(datasetVersions.id, versionId)),

    setQuality: (tx: Executor, datasetId: string, quality: QualityPolicy) =>
      tx.update(datasets).set({ quality }).where(eq(datasets.id, datasetId)).returning(),

    async findVersion(
      db: Executor,
      versionId: string,
    ): Promise<{ version: VersionRow; dataset: DatasetRow } | undefined> {
      const [row] = await db
        .select({ version: datasetVersions, dataset: datasets })
        .from(datasetVersions)
        .innerJoin(datasets, eq(datasets.id, datasetVersions.datasetId))
        .where(eq(datasetVersions.id, versionId));
      return row;
    },

    async findVersionByJob(tx: Executor, jobId: string): Promise<VersionRow | undefined> {
      return (await tx.select().from(datasetVersions).where(eq(datasetVersions.jobId, jobId)))[0];
    },

    versions: (db: Executor, datasetId: string, options: { limit: number; belowOrdinal?: number }) =>
      db
        .select()
        .from(datasetVersions)
        .where(
          and(
            eq(datasetVersions.datasetId, datasetId),
            options.belowOrdinal === undefined
              ? undefined
              : lt(datasetVersions.ordinal, options.belowOrdinal),
          ),
        )
        .orderBy(desc(datasetVersions.ordinal))
        .limit(options.limit),

    addRequest: (tx: Executor, versionId: string, requestId: string) =>
      tx.insert(versionRequests).values({ versionId, requestId }).onConflictDoNothing(),

    async requests(tx: Executor, versionId: string): Promise<string[]> {
      const rows = await tx.select().from(versionRequests).where(eq(versionRequests.versionId, versionId));
      return rows.map((row) => row.requestId);
    },
  };
}

export type DatasetRepository = ReturnType<typeof createDatasetRepository>;
