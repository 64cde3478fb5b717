import type { Stage } from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import type { SignatureBundle } from '@millrace/integrity';
import { and, asc, count, desc, eq, gt, inArray, isNull, lt, ne, or, sql } from 'drizzle-orm';
import type { ModelRow, ModelTables, Tags } from '../models/model.table.ts';
import type { TagFilter } from '../models/tags.ts';
import { hasTag } from '../models/tags.ts';
import type { AttestationRow, PackageRow, VersionRow, VersionTables } from './version.table.ts';

/** The serving file of a version that is kept and signed but nothing here can run. */
export const NOT_SERVABLE = '';

/** A version with the package it is made of. */
export type VersionWithPackage = { version: VersionRow; package: PackageRow };

/** Which versions a list shows. */
export type VersionFilter = {
  readonly stage?: Stage | undefined;
  readonly packageDigest?: string | undefined;
  readonly tag?: TagFilter | undefined;
};

export type VersionRepository = ReturnType<typeof createVersionRepository>;

/** Reads and writes of versions, their packages and attestations. */
export function createVersionRepository(tables: VersionTables & Pick<ModelTables, 'models'>) {
  const { models, packages, packageFiles, modelVersions, attestations } = tables;
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

    /** Of each model the newest version of each package that is these bytes, or has this function. */
    async findByDigest(
      db: Executor,
      tenant: string,
      digest: string,
      options: { model: string | undefined; limit: number },
    ): Promise<(VersionWithPackage & { model: ModelRow })[]> {
      const hasDigest = or(eq(modelVersions.packageDigest, digest), eq(modelVersions.modelDigest, digest));
      return db
        .selectDistinctOn([modelVersions.modelId, modelVersions.packageDigest], {
          version: modelVersions,
          package: packages,
          model: models,
        })
        .from(modelVersions)
        .innerJoin(packages, eq(packages.packageDigest, modelVersions.packageDigest))
        .innerJoin(models, eq(models.id, modelVersions.modelId))
        .where(
          and(
            hasDigest,
            eq(models.tenant, tenant),
            isNull(models.deletedAt),
            options.model === undefined ? undefined : eq(models.name, options.model),
          ),
        )
        .orderBy(asc(modelVersions.modelId), asc(modelVersions.packageDigest), desc(modelVersions.ordinal))
        .limit(options.limit);
    },

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
    findDefault: (
      db: Executor,
      modelId: string,
      stages: readonly Stage[] = ['development', 'staging', 'production'],
    ) =>
      one(
        select(db)
          .where(
            and(
              ofModel(modelId),
              inArray(modelVersions.stage, [...stages]),
              ne(modelVersions.servingFile, NOT_SERVABLE),
            ),
          )
          .orderBy(
            desc(sql`${modelVersions.stage} = 'production'`),
            sql`case when ${modelVersions.stage} = 'production' then ${modelVersions.stageChangedAt} end desc nulls last`,
            desc(modelVersions.ordinal),
          )
          .limit(1),
      ),

    list: (
      db: Executor,
      modelId: string,
      options: { limit: number; belowOrdinal?: number } & VersionFilter,
    ) =>
      db
        .select()
        .from(modelVersions)
        .where(
          and(
            ofModel(modelId),
            options.belowOrdinal === undefined ? undefined : lt(modelVersions.ordinal, options.belowOrdinal),
            options.stage === undefined ? undefined : eq(modelVersions.stage, options.stage),
            options.packageDigest === undefined
              ? undefined
              : eq(modelVersions.packageDigest, options.packageDigest),
            hasTag(modelVersions.tags, options.tag),
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

    /** Versions without a signed identity, by their ids, after the given one. */
    withoutIdentity: (db: Executor, after: string | undefined, limit: number) =>
      db
        .select({ id: modelVersions.id, modelId: modelVersions.modelId })
        .from(modelVersions)
        .where(
          and(isNull(modelVersions.identity), after === undefined ? undefined : gt(modelVersions.id, after)),
        )
        .orderBy(asc(modelVersions.id))
        .limit(limit),

    /** Keeps the identity of a version that has none. */
    setIdentity: (db: Executor, id: string, identity: SignatureBundle) =>
      db
        .update(modelVersions)
        .set({ identity })
        .where(and(eq(modelVersions.id, id), isNull(modelVersions.identity))),

    addAttestation: (tx: Executor, row: typeof attestations.$inferInsert) =>
      tx.insert(attestations).values(row),

    attestations: (db: Executor, modelVersionId: string): Promise<AttestationRow[]> =>
      db
        .select()
        .from(attestations)
        .where(eq(attestations.modelVersionId, modelVersionId))
        .orderBy(desc(attestations.name)),

    /** Ids of the versions of a model that are in a stage, oldest first. */
    async idsInStage(tx: Executor, modelId: string, stage: Stage): Promise<string[]> {
      const rows = await tx
        .select({ id: modelVersions.id })
        .from(modelVersions)
        .where(and(ofModel(modelId), eq(modelVersions.stage, stage)))
        .orderBy(asc(modelVersions.ordinal));
      return rows.map(({ id }) => id);
    },

    setStage: (tx: Executor, id: string, stage: Stage) =>
      tx.update(modelVersions).set({ stage, stageChangedAt: sql`now()` }).where(eq(modelVersions.id, id)),

    update: (tx: Executor, id: string, change: { description?: string; tags?: Tags }) =>
      tx
        .update(modelVersions)
        .set({ ...change, updatedAt: sql`now()` })
        .where(eq(modelVersions.id, id)),

    setTensors: (tx: Executor, id: string, tensors: Pick<VersionRow, 'inputs' | 'outputs'>) =>
      tx.update(modelVersions).set(tensors).where(eq(modelVersions.id, id)),

    /** Labels of ensembles that run a version and are not archived. */
    async ensemblesOf(db: Executor, id: string): Promise<string[]> {
      const members = JSON.stringify([{ modelVersionId: id }]);
      const rows = await db
        .select({ label: modelVersions.label })
        .from(modelVersions)
        .where(
          and(
            eq(modelVersions.framework, 'ensemble'),
            ne(modelVersions.stage, 'archived'),
            sql`${modelVersions.lineage} -> 'members' @> ${members}::jsonb`,
          ),
        )
        .limit(1);
      return rows.map(({ label }) => label);
    },

    remove: (tx: Executor, id: string) => tx.delete(modelVersions).where(eq(modelVersions.id, id)),
  };
}
