import type { Stage } from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import { and, asc, count, desc, eq, lt, ne, sql } from 'drizzle-orm';
import type { AttestationRow, PackageRow, VersionRow, VersionTables } from './version.table.ts';

/** A version with the package it is made of. */
export type VersionWithPackage = { version: VersionRow; package: PackageRow };

export type VersionRepository = ReturnType<typeof createVersionRepository>;

/** Reads and writes of versions, their packages and attestations. */
export function createVersionRepository(tables: VersionTables) {
  const { packages, packageFiles, modelVersions, attestations } = tables;
  const ofModel = (modelId: string) => eq(modelVersions.modelId, modelId);
  const select = (db: Executor) =>
    db
      .select({ version: modelVersions, package: packages })
      .from(modelVersions)
      .innerJoin(packages, eq(packages.packageDigest, modelVersions.packageDigest));
  const one = async (rows: Promise<VersionWithPackage[]>) => (await rows)[0];

  return {
    findById: (db: Executor, id: string) => one(select(db).where(eq(modelVersions.id, id))),

    findByLabel: (db: Executor, modelId: string, label: string) =>
      one(select(db).where(and(ofModel(modelId), eq(modelVersions.label, label)))),

    findByOrdinal: (db: Executor, modelId: string, ordinal: number) =>
      one(select(db).where(and(ofModel(modelId), eq(modelVersions.ordinal, ordinal)))),

    /** The newest version of equal function that is not archived. */
    findByModelDigest: (db: Executor, modelId: string, modelDigest: string) =>
      one(
        select(db)
          .where(
            and(
              ofModel(modelId),
              eq(modelVersions.modelDigest, modelDigest),
              ne(modelVersions.stage, 'archived'),
            ),
          )
          .orderBy(desc(modelVersions.ordinal))
          .limit(1),
      ),

    /** The version that serves unless one is named: the last moved to production, else the newest not archived. */
    findDefault: (db: Executor, modelId: string) =>
      one(
        select(db)
          .where(and(ofModel(modelId), ne(modelVersions.stage, 'archived')))
          .orderBy(
            desc(sql`${modelVersions.stage} = 'production'`),
            sql`case when ${modelVersions.stage} = 'production' then ${modelVersions.stageChangedAt} end desc nulls last`,
            desc(modelVersions.ordinal),
          )
          .limit(1),
      ),

    list: (db: Executor, modelId: string, options: { limit: number; belowOrdinal?: number }) =>
      db
        .select()
        .from(modelVersions)
        .where(
          and(
            ofModel(modelId),
            options.belowOrdinal === undefined ? undefined : lt(modelVersions.ordinal, options.belowOrdinal),
          ),
        )
        .orderBy(desc(modelVersions.ordinal))
        .limit(options.limit),

    /** All versions, oldest first, up to `limit`. */
    listOldestFirst: (db: Executor, modelId: string, limit: number) =>
      db
        .select()
        .from(modelVersions)
        .where(ofModel(modelId))
        .orderBy(asc(modelVersions.ordinal))
        .limit(limit),

    async count(db: Executor, modelId: string): Promise<number> {
      const rows = await db.select({ n: count() }).from(modelVersions).where(ofModel(modelId));
      return rows[0]?.n ?? 0;
    },

    /** Stores a package unless it is there; its files are then there as well. */
    async putPackage(tx: Executor, row: typeof packages.$inferInsert): Promise<void> {
      const added = await tx
        .insert(packages)
        .values(row)
        .onConflictDoNothing()
        .returning({ d: packages.packageDigest });
      if (added.length === 0) return;
      await tx
        .insert(packageFiles)
        .values(row.manifest.files.map((file) => ({ packageDigest: row.packageDigest, ...file })));
    },

    insert: (tx: Executor, row: typeof modelVersions.$inferInsert) =>
      tx
        .insert(modelVersions)
        .values(row)
        .returning()
        .then((rows) => rows[0] as VersionRow),

    addAttestation: (tx: Executor, row: typeof attestations.$inferInsert) =>
      tx.insert(attestations).values(row),

    attestations: (db: Executor, modelVersionId: string): Promise<AttestationRow[]> =>
      db
        .select()
        .from(attestations)
        .where(eq(attestations.modelVersionId, modelVersionId))
        .orderBy(asc(attestations.predicateType)),

    setStage: (tx: Executor, id: string, stage: Stage) =>
      tx.update(modelVersions).set({ stage, stageChangedAt: sql`now()` }).where(eq(modelVersions.id, id)),

    remove: (tx: Executor, id: string) => tx.delete(modelVersions).where(eq(modelVersions.id, id)),
  };
}
