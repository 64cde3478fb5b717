import type { Outbox } from '@millrace/bus';
import type { ResolvedVersion, ResolveVersionRequest, Stage } from '@millrace/contracts';
import { AppError, isValidName, ModelVersionRejected, ModelVersionStageChanged } from '@millrace/contracts';
import type { Database, Executor } from '@millrace/database';
import { verifyModel } from '@millrace/integrity';
import type { Storage } from '@millrace/storage';
import type { ChangeLog } from '../history/change-log.ts';
import type { ModelRepository } from '../models/model.repository.ts';
import type { ModelRow } from '../models/model.table.ts';
import { ordinalOfLabel } from '../registration/labels.ts';
import type { RolloutRepository } from '../rollouts/rollout.repository.ts';
import { versionRefs } from '../rollouts/rollout-check.ts';
import { planOf } from '../rollouts/rollout-plan.ts';
import type { VersionRepository, VersionWithPackage } from './version.repository.ts';
import { versionIds } from './version-ids.ts';

/** Requests on the bus carry no tenant yet. */
const RPC_TENANT = 'default';

/** A version with its model. */
export type FoundVersion = VersionWithPackage & { readonly model: ModelRow };

export type VersionService = ReturnType<typeof createVersionService>;

/** The rules of versions that exist: finding, stages, verification, aliases, withdrawal. */
export function createVersionService(options: {
  database: Database;
  models: ModelRepository;
  versions: VersionRepository;
  rollouts: RolloutRepository;
  changeLog: ChangeLog;
  outbox: Outbox;
  storage: Storage;
  publicKeyPem: string;
}) {
  const { database, models, versions, rollouts, changeLog, outbox, storage } = options;

  /** @throws AppError `model_not_found`, `invalid_name` */
  async function model(tenant: string, name: string): Promise<ModelRow> {
    if (!isValidName(name))
      throw new AppError('invalid_name', 'The model name has characters that no name has.');
    const row = await models.find(database.db, tenant, name);
    if (row === undefined) throw new AppError('model_not_found', `There is no model ${name}.`);
    return row;
  }

  async function pick(modelId: string, version: string | undefined): Promise<VersionWithPackage | undefined> {
    const { db } = database;
    if (version === undefined) return versions.findDefault(db, modelId);
    if (version.startsWith('@')) {
      const id = await models.findAlias(db, modelId, version.slice(1));
      return id === undefined ? undefined : versions.findById(db, id);
    }
    const byLabel = await versions.findByLabel(db, modelId, version);
    const ordinal = ordinalOfLabel(version);
    if (byLabel !== undefined || ordinal === undefined) return byLabel;
    return versions.findByOrdinal(db, modelId, ordinal);
  }

  /**
   * A version by label, ordinal or `@alias`; without one the version that serves by default.
   * @throws AppError `model_not_found`, `version_not_found`
   */
  async function find(tenant: string, name: string, version?: string): Promise<FoundVersion> {
    return versionOf(await model(tenant, name), version);
  }

  async function versionOf(row: ModelRow, version: string | undefined): Promise<FoundVersion> {
    const found = await pick(row.id, version);
    if (found === undefined) {
      const what = version === undefined ? 'version that could serve' : `version ${version}`;
      throw new AppError('version_not_found', `Model ${row.name} has no ${what}.`);
    }
    return { ...found, model: row };
  }

  /** @throws AppError `model_not_found`, `version_not_found` */
  async function findByModelId(id: string, version: string | undefined): Promise<FoundVersion> {
    const row = await models.findById(database.db, id);
    if (row === undefined) throw new AppError('model_not_found', `There is no model with the id ${id}.`);
    return versionOf(row, version);
  }

  async function findById(id: string): Promise<FoundVersion> {
    const found = await versions.findById(database.db, id);
    const row = found === undefined ? undefined : await models.findById(database.db, found.version.modelId);
    if (found === undefined || row === undefined)
      throw new AppError('version_not_found', `There is no model version ${id}.`);
    return { ...found, model: row };
  }

  async function asked({ modelVersionId, modelId, model, version }: ResolveVersionRequest) {
    if (modelVersionId !== undefined) return findById(modelVersionId);
    if (modelId !== undefined) return findByModelId(modelId, version);
    if (model !== undefined) return find(RPC_TENANT, model, version);
    throw new AppError('invalid_request', 'Name a model, a modelId or a modelVersionId.');
  }

  /** Checks the signature over the manifest; a row changed behind the registry's back is not given out. */
  function assertSigned(found: VersionWithPackage): { keyId: string; rootDigest: string } {
    return verifyModel(found.package.signature, options.publicKeyPem, found.package.manifest.files);
  }

  async function assertNotInRollout(tx: Executor, { model, version }: FoundVersion): Promise<void> {
    const rollout = await rollouts.find(tx, model.id);
    if (rollout === undefined || versionRefs(rollout.spec).every((ref) => ref.version !== version.label))
      return;
    throw new AppError(
      'version_in_rollout',
      `The rollout of ${model.name} names ${version.label}; take it out there before you archive it.`,
    );
  }

  async function logChange(
    tx: Executor,
    found: FoundVersion,
    change: { action: 'stage-changed' | 'alias-set' | 'alias-removed' | 'withdrawn'; by: string } & Readonly<
      Record<string, unknown>
    >,
  ): Promise<void> {
    await changeLog.append(tx, found.model.id, {
      ...change,
      model: found.model.name,
      modelVersionId: found.version.id,
      version: found.version.label,
    });
  }

  return {
    model,
    find,
    findById,
    assertSigned,

    /**
     * Answers `millrace.rpc.registry.resolve`.
     * @throws AppError `invalid_request`, `model_not_found`, `version_not_found`, and those of a bad signature
     */
    async resolve(request: ResolveVersionRequest): Promise<ResolvedVersion> {
      const found = await asked(request);
      assertSigned(found);
      const rollout =
        request.model === undefined ? undefined : await rollouts.find(database.db, found.model.id);
      return {
        ...versionIds(found.model, found),
        stage: found.version.stage,
        framework: found.version.framework,
        packageDigest: found.version.packageDigest,
        manifest: { files: [...found.package.manifest.files] },
        signature: found.package.signature as unknown as Record<string, unknown>,
        servingFile: found.version.servingFile,
        ...(rollout !== undefined && { rollout: planOf(rollout) }),
      };
    },

    /**
     * Reads every file from storage and checks it against the signed manifest.
     * @throws AppError `artifact_corrupt`, `artifact_missing`, and those of a bad signature
     */
    async verify(found: FoundVersion): Promise<{ keyId: string; rootDigest: string; sizeBytes: number }> {
      const signed = assertSigned(found);
      let sizeBytes = 0;
      for (const file of found.package.manifest.files) {
        for await (const chunk of await storage.getBlob(file.sha256)) sizeBytes += (chunk as Buffer).length;
      }
      return { keyId: signed.keyId, rootDigest: signed.rootDigest, sizeBytes };
    },

    /**
     * Moves a version to a stage; the same stage changes nothing.
     * @throws AppError `version_in_rollout` when it is to be archived while requests go to it
     */
    async setStage(found: FoundVersion, to: Stage, by: string): Promise<void> {
      await database.transaction(async (tx) => {
        await models.lock(tx, found.model.id);
        const now = await versions.findById(tx, found.version.id);
        if (now === undefined) throw new AppError('version_not_found', 'The version was withdrawn.');
        const from = now.version.stage;
        if (from === to) return;
        if (to === 'archived') await assertNotInRollout(tx, found);
        await versions.setStage(tx, now.version.id, to);
        await logChange(tx, found, { action: 'stage-changed', by, from, to });
        await outbox.append(tx, ModelVersionStageChanged, now.version.id, {
          ...versionIds(found.model, now),
          from,
          to,
          by,
        });
      });
    },

    /** Points an alias at a version. */
    async setAlias(found: FoundVersion, alias: string, by: string): Promise<void> {
      if (!isValidName(alias) || alias.startsWith('@'))
        throw new AppError(
          'invalid_name',
          'An alias has 1 to 255 characters, none of them slash, colon or a leading @.',
        );
      await database.transaction(async (tx) => {
        await models.lock(tx, found.model.id);
        await models.setAlias(tx, found.model.id, alias, found.version.id);
        await logChange(tx, found, { action: 'alias-set', by, alias });
      });
    },

    /** @throws AppError `version_not_found` when no version has the alias */
    async removeAlias(row: ModelRow, alias: string, by: string): Promise<void> {
      await database.transaction(async (tx) => {
        await models.lock(tx, row.id);
        const id = await models.removeAlias(tx, row.id, alias);
        const found = id === undefined ? undefined : await versions.findById(tx, id);
        if (found === undefined)
          throw new AppError('version_not_found', `No version of ${row.name} has the alias ${alias}.`);
        await logChange(tx, { ...found, model: row }, { action: 'alias-removed', by, alias });
      });
    },

    /** Takes back a version that the runtime refused to load; its label is free again, the history keeps it. */
    async withdraw(found: FoundVersion, error: AppError): Promise<void> {
      const wire = { code: error.code, message: error.message };
      await database.transaction(async (tx) => {
        await models.lock(tx, found.model.id);
        await models.removeAliasesOf(tx, found.version.id);
        await versions.remove(tx, found.version.id);
        await logChange(tx, found, { action: 'withdrawn', by: 'registry', error: wire });
        await outbox.append(tx, ModelVersionRejected, found.version.id, {
          model: found.model.name,
          version: found.version.label,
          modelVersionId: found.version.id,
          where: 'load',
          error: wire,
        });
      });
    },
  };
}
