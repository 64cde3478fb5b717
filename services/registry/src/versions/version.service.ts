import type { Outbox } from '@millrace/bus';
import type { ResolvedVersion, ResolveVersionRequest, Stage } from '@millrace/contracts';
import { AppError, isValidName, ModelVersionRejected, ModelVersionStageChanged } from '@millrace/contracts';
import type { Database, Executor } from '@millrace/database';
import { packageDigest, verifyModel, verifyVersionIdentity } from '@millrace/integrity';
import { PLATFORM_TENANT } from '@millrace/service-kit';
import type { Storage } from '@millrace/storage';
import type { Gate } from '../governance/gate.ts';
import type { NewChange } from '../history/change-log.table.ts';
import type { ChangeLog } from '../history/change-log.ts';
import type { ModelRepository } from '../models/model.repository.ts';
import type { ModelRow } from '../models/model.table.ts';
import type { WordsPatch } from '../models/tags.ts';
import { changedWords } from '../models/tags.ts';
import { ordinalOfLabel } from '../registration/labels.ts';
import { verifyBlob } from '../registration/pipeline-package.ts';
import type { RolloutRepository } from '../rollouts/rollout.repository.ts';
import { versionRefs } from '../rollouts/rollout-check.ts';
import { planOf } from '../rollouts/rollout-plan.ts';
import type { VerificationReporter } from '../verification/verification-reporter.ts';
import type { VersionRepository, VersionWithPackage } from './version.repository.ts';
import { NOT_SERVABLE } from './version.repository.ts';
import { identityOf } from './version-identity.ts';
import { versionIds } from './version-ids.ts';

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
  gate: Gate;
  outbox: Outbox;
  storage: Storage;
  trustedPem: string;
  /** Tells everybody of a version that is refused. */
  verification: VerificationReporter;
  /** Package digest that the history has for the registration of a version. */
  registeredDigest(modelId: string, modelVersionId: string): Promise<string | undefined>;
}) {
  const { database, models, versions, rollouts, changeLog, gate, outbox, storage, verification } = options;

  /** @throws AppError `model_not_found`, `invalid_name` */
  async function model(tenant: string, name: string): Promise<ModelRow> {
    if (!isValidName(name))
      throw new AppError('invalid_name', 'The model name has characters that no name has.');
    const row = await models.find(database.db, tenant, name);
    if (row === undefined) throw new AppError('model_not_found', `There is no model ${name}.`);
    return row;
  }

  /** The version that answers requests which name none, among those that policy lets serve. */
  async function serving(db: Executor, row: ModelRow): Promise<VersionWithPackage | undefined> {
    const { policy } = await gate.policyOf(db, row);
    return versions.findDefault(db, row.id, policy.servableStages);
  }

  async function pick(row: ModelRow, version: string | undefined): Promise<VersionWithPackage | undefined> {
    const { db } = database;
    const modelId = row.id;
    if (version === undefined) return serving(db, row);
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
    const found = await pick(row, version);
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

  async function asked(request: ResolveVersionRequest) {
    const { modelVersionId, modelId, tenant = PLATFORM_TENANT, model, version } = request;
    if (modelVersionId !== undefined) return findById(modelVersionId);
    if (modelId !== undefined) return findByModelId(modelId, version);
    if (model !== undefined) return find(tenant, model, version);
    throw new AppError('invalid_request', 'Name a model, a modelId or a modelVersionId.');
  }

  /** Checks the signature over the manifest; a row changed behind the registry's back is not given out. */
  function assertSigned(found: VersionWithPackage): { keyId: string; rootDigest: string } {
    const { manifest, signature, packageDigest: expected } = found.package;
    const signed = verifyModel(signature, options.trustedPem, manifest.files);
    if (packageDigest(manifest) === expected) return signed;
    throw new AppError('manifest_mismatch', 'The manifest of the version does not have its package digest.');
  }

  /** A package, however well signed, is not given out under a name that it was not registered with. */
  function assertNamed({ model, version }: FoundVersion): void {
    verifyVersionIdentity(version.identity, options.trustedPem, identityOf(model, version));
  }

  /** The history tells which package the version was registered with; a row that names another was changed since. */
  async function assertRegistered({ model, version }: FoundVersion): Promise<void> {
    const registered = await options.registeredDigest(model.id, version.id);
    if (registered === version.packageDigest) return;
    throw new AppError(
      'manifest_mismatch',
      `The history of ${model.name} does not say that ${version.label} is made of this package.`,
    );
  }

  /** Signature, history and every file. */
  async function assertWhole(found: FoundVersion) {
    const signed = assertSigned(found);
    await assertRegistered(found);
    let sizeBytes = 0;
    for (const file of found.package.manifest.files) {
      await verifyBlob(storage, file);
      sizeBytes += file.sizeBytes;
    }
    return { keyId: signed.keyId, rootDigest: signed.rootDigest, sizeBytes };
  }

  /** @throws AppError `unsupported_framework` for a version that is only kept */
  function assertRunnable({ model, version }: FoundVersion): void {
    if (version.servingFile !== NOT_SERVABLE) return;
    throw new AppError(
      'unsupported_framework',
      `${version.label} of ${model.name} (${version.framework}) is registered and signed, but has no ONNX graph that could be served; log the model as ONNX too.`,
    );
  }

  async function assertNotInRollout(tx: Executor, { model, version }: FoundVersion): Promise<void> {
    const rollout = await rollouts.find(tx, model.id);
    if (rollout === undefined || versionRefs(rollout.spec).every((ref) => ref.version !== version.label))
      return;
    throw new AppError(
      'version_in_rollout',
      `The rollout of ${model.name} names ${version.label}; take it out there first.`,
    );
  }

  async function logChange(tx: Executor, found: FoundVersion, change: NewChange): Promise<void> {
    await changeLog.append(tx, found.model.id, {
      ...change,
      model: found.model.name,
      modelVersionId: found.version.id,
      version: found.version.label,
      packageDigest: found.version.packageDigest,
    });
  }

  /** @throws AppError `version_in_use`, `version_in_rollout` while anything leads to the version */
  async function assertUnused(tx: Executor, found: FoundVersion): Promise<void> {
    const { model, version } = found;
    const inUse = (why: string): AppError =>
      new AppError('version_in_use', `${version.label} of ${model.name} ${why}`);
    if (version.stage === 'production')
      throw inUse('is in production; move it to another stage before you delete it.');
    const [alias] = await models.aliasesOf(tx, version.id);
    if (alias !== undefined) throw inUse(`has the alias ${alias}; remove or move that first.`);
    await assertNotInRollout(tx, found);
    const [ensemble] = await versions.ensemblesOf(tx, version.id);
    if (ensemble !== undefined) throw inUse(`is part of an ensemble, ${ensemble}; archive that first.`);
    if ((await serving(tx, model))?.version.id === version.id)
      throw inUse('answers requests that name no version; archive it first.');
  }

  /** Deletes a version within a transaction that holds the lock of the model. */
  async function removeIn(tx: Executor, found: FoundVersion, by: string): Promise<void> {
    await assertUnused(tx, found);
    await versions.remove(tx, found.version.id);
    const { ordinal, stage, packageDigest, modelDigest } = found.version;
    await logChange(tx, found, {
      action: 'version-deleted',
      by,
      ordinal,
      stage,
      packageDigest,
      modelDigest,
    });
  }

  /** The version as it stands, with its model locked. @throws AppError `version_not_found` */
  async function lockVersion(tx: Executor, found: FoundVersion): Promise<FoundVersion> {
    await models.lock(tx, found.model.id);
    const now = await versions.findById(tx, found.version.id);
    if (now === undefined)
      throw new AppError(
        'version_not_found',
        `Version ${found.version.label} was withdrawn or deleted meanwhile.`,
      );
    return { ...now, model: found.model };
  }

  /** Moves a version within a transaction that holds the lock of the model. */
  async function moveIn(tx: Executor, now: FoundVersion, to: Stage, by: string): Promise<void> {
    const from = now.version.stage;
    if (from === to) return;
    if (to === 'archived') await assertNotInRollout(tx, now);
    const approvedBy = await gate.assertStage(tx, now, to);
    await versions.setStage(tx, now.version.id, to);
    await logChange(tx, now, { action: 'stage-changed', by, from, to, approvedBy });
    const ids = versionIds(now.model, now);
    const { tenant } = now.model;
    await outbox.append(tx, ModelVersionStageChanged, now.version.id, { ...ids, from, to, by }, { tenant });
  }

  return {
    model,
    find,
    findById,
    assertSigned,
    removeIn,
    serving: (row: ModelRow) => serving(database.db, row),

    /**
     * Changes description and tags; nothing new changes nothing.
     * @throws AppError `version_not_found`, `invalid_request`
     */
    async update(found: FoundVersion, patch: WordsPatch, by: string): Promise<void> {
      await database.transaction(async (tx) => {
        const now = await lockVersion(tx, found);
        const change = changedWords(now.version, patch);
        if (change === undefined) return;
        await versions.update(tx, now.version.id, change);
        await logChange(tx, now, { action: 'version-updated', by, ...patch });
      });
    },

    /**
     * Deletes a version that nothing leads to; history and bytes stay, ordinal and bytes are not given out again.
     * @throws AppError `version_in_use`, `version_in_rollout`, `version_not_found`
     */
    async remove(found: FoundVersion, by: string): Promise<void> {
      await database.transaction(async (tx) => removeIn(tx, await lockVersion(tx, found), by));
    },

    /**
     * Answers `millrace.rpc.registry.resolve`.
     * @throws AppError `invalid_request`, `model_not_found`, `version_not_found`, `stage_not_servable`,
     * `digest_not_allowed`, `unsupported_framework`, and those of a bad signature
     */
    async resolve(request: ResolveVersionRequest): Promise<ResolvedVersion> {
      const found = await asked(request);
      assertRunnable(found);
      await gate.telling(found, 'serving', () => gate.assertServable(database.db, found));
      await verification.watched(found, () => {
        assertSigned(found);
        assertNamed(found);
      });
      const rollout =
        request.model === undefined ? undefined : await rollouts.find(database.db, found.model.id);
      return {
        ...versionIds(found.model, found),
        tenant: found.model.tenant,
        stage: found.version.stage,
        framework: found.version.framework,
        packageDigest: found.version.packageDigest,
        manifest: { files: [...found.package.manifest.files] },
        signature: found.package.signature as unknown as Record<string, unknown>,
        ...(found.version.identity !== null && { identity: { ...found.version.identity } }),
        servingFile: found.version.servingFile,
        ...(rollout !== undefined && { rollout: planOf(rollout) }),
      };
    },

    /**
     * Reads every file from storage and checks it against the signed manifest.
     * @throws AppError `artifact_corrupt`, `artifact_missing`, and those of a bad signature
     */
    verify: (found: FoundVersion): Promise<{ keyId: string; rootDigest: string; sizeBytes: number }> =>
      verification.watched(found, async () => {
        assertNamed(found);
        return assertWhole(found);
      }),

    /** The same without the statement about its names, which old versions lack. */
    assertWhole,

    /**
     * Moves a version to a stage; the same stage changes nothing. With `archiveOthers` those that are in that stage are
     * archived with it, all or none.
     * @throws AppError `version_in_rollout` when one is to be archived while requests go to it, `approval_required`,
     * `digest_not_allowed`
     */
    async setStage(
      found: FoundVersion,
      to: Stage,
      by: string,
      { archiveOthers = false }: { archiveOthers?: boolean } = {},
    ): Promise<void> {
      const move = async (tx: Executor): Promise<void> => {
        const now = await lockVersion(tx, found);
        await moveIn(tx, now, to, by);
        if (!archiveOthers) return;
        for (const id of await versions.idsInStage(tx, found.model.id, to)) {
          const other = id === now.version.id ? undefined : await versions.findById(tx, id);
          if (other !== undefined) await moveIn(tx, { ...other, model: found.model }, 'archived', by);
        }
      };
      await gate.telling(found, 'stage', () => database.transaction(move));
    },

    /** Points an alias at a version. @throws AppError `invalid_name`, `approval_required`, `digest_not_allowed` */
    async setAlias(found: FoundVersion, alias: string, by: string): Promise<void> {
      if (!isValidName(alias) || alias.startsWith('@'))
        throw new AppError(
          'invalid_name',
          'An alias has 1 to 255 characters, none of them slash, colon or a leading @.',
        );
      const point = async (tx: Executor): Promise<void> => {
        const now = await lockVersion(tx, found);
        if ((await models.findAlias(tx, found.model.id, alias)) === found.version.id) return;
        await gate.assertAlias(tx, now, alias);
        await models.setAlias(tx, found.model.id, alias, found.version.id);
        await logChange(tx, found, { action: 'alias-set', by, alias });
      };
      await gate.telling(found, 'alias', () => database.transaction(point));
    },

    /** @throws AppError `version_not_found` when no version has the alias, `approval_required` when it is protected */
    async removeAlias(row: ModelRow, alias: string, by: string, isApprover: boolean): Promise<void> {
      await database.transaction(async (tx) => {
        await models.lock(tx, row.id);
        await gate.assertAliasFree(tx, row, alias, isApprover);
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
        for (const alias of await models.removeAliasesOf(tx, found.version.id))
          await logChange(tx, found, { action: 'alias-removed', by: 'registry', alias });
        await versions.remove(tx, found.version.id);
        await logChange(tx, found, { action: 'withdrawn', by: 'registry', error: wire });
        await outbox.append(
          tx,
          ModelVersionRejected,
          found.version.id,
          {
            model: found.model.name,
            version: found.version.label,
            modelVersionId: found.version.id,
            where: 'load',
            error: wire,
          },
          { tenant: found.model.tenant },
        );
      });
    },
  };
}
