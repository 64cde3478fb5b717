import type { Outbox } from '@millrace/bus';
import type { ArtifactRef, Stage } from '@millrace/contracts';
import { AppError, ModelVersionRegistered, newId } from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import type { Gate } from '../governance/gate.ts';
import type { ChangeLog } from '../history/change-log.ts';
import type { ModelRepository } from '../models/model.repository.ts';
import type { ModelRow } from '../models/model.table.ts';
import type { VersionRepository, VersionWithPackage } from '../versions/version.repository.ts';
import { NOT_SERVABLE } from '../versions/version.repository.ts';
import type { Lineage } from '../versions/version.table.ts';
import { signIdentity } from '../versions/version-identity.ts';
import { versionIds } from '../versions/version-ids.ts';
import type { InspectedGraph } from './inspect.ts';
import { assertNames, nextVersion } from './labels.ts';
import type { SignedPackage, SigningKey } from './sign.ts';

/** A package that is verified and signed and only has to be written down. */
export type ReadyRegistration = {
  readonly tenant: string;
  readonly model: string;
  /** Label asked for; without one the next `v<ordinal>`. */
  readonly label: string | undefined;
  readonly stage: Stage;
  /** What serves it: `onnx` and `ensemble` run on onnxruntime, `tensorflow` on TensorFlow.js; a flavour that nothing here serves. */
  readonly framework: 'onnx' | 'tensorflow' | 'ensemble' | (string & {});
  readonly modelDigest: string;
  readonly graph: Pick<InspectedGraph, 'sha256' | 'inputs' | 'outputs'>;
  readonly servingFile: string;
  readonly signed: SignedPackage;
  readonly inputSchema: string | undefined;
  readonly outputSchema: string | undefined;
  readonly metadata: string | undefined;
  readonly lineage: Lineage;
  readonly metrics: Readonly<Record<string, unknown>>;
  readonly by: string;
  /** The pipeline that asked, if one did: it wants an equal model reused. */
  readonly requestId: string | undefined;
};

export type Registered = VersionWithPackage & { readonly model: ModelRow; readonly isReused: boolean };

export type RegistrationService = ReturnType<typeof createRegistrationService>;

/** The rules of taking a version in: which label and ordinal it gets, when it is the same as one that is there. */
export function createRegistrationService(options: {
  models: ModelRepository;
  versions: VersionRepository;
  changeLog: ChangeLog;
  gate: Gate;
  outbox: Outbox;
  key: SigningKey;
}) {
  const { models, versions, changeLog, gate, outbox, key } = options;

  /** The version that this registration would only repeat. @throws AppError `version_conflict` */
  async function findSame(
    tx: Executor,
    modelId: string,
    ready: ReadyRegistration,
  ): Promise<VersionWithPackage | undefined> {
    if (ready.label === undefined) return versions.findByModelDigest(tx, modelId, ready.modelDigest);
    const there = await versions.findByLabel(tx, modelId, ready.label);
    if (there === undefined) return undefined;
    const isSame =
      ready.requestId === undefined
        ? there.version.graphSha256 === ready.graph.sha256
        : there.version.modelDigest === ready.modelDigest;
    if (isSame) return there;
    throw new AppError(
      'version_conflict',
      `Version ${ready.label} of ${ready.model} exists with other bytes; choose a new version label.`,
    );
  }

  async function insert(
    tx: Executor,
    model: ModelRow,
    ready: ReadyRegistration,
  ): Promise<VersionWithPackage> {
    const { label, ordinal } = await nextVersion(
      ready.label,
      model.lastOrdinal,
      async (candidate) => (await versions.findByLabel(tx, model.id, candidate)) !== undefined,
    );
    if ((await versions.findByOrdinal(tx, model.id, ordinal)) !== undefined) {
      throw new AppError(
        'version_conflict',
        `Version ${label} of ${ready.model} asks for ordinal ${ordinal}, which another version has; choose a new label.`,
      );
    }
    const { signed, graph } = ready;
    const { packageDigest } = signed;
    const candidate = { label, packageDigest, modelDigest: ready.modelDigest, createdBy: ready.by };
    await gate.assertStage(tx, { model, version: candidate }, ready.stage);
    await versions.putPackage(tx, {
      packageDigest: signed.packageDigest,
      rootDigest: signed.rootDigest,
      manifest: signed.manifest,
      signature: signed.signature,
      keyId: signed.keyId,
    });
    const named = { id: newId(), label, ordinal, packageDigest, servingFile: ready.servingFile };
    const version = await versions.insert(tx, {
      ...named,
      // under the lock of the model: only here its label and ordinal are known
      identity: await signIdentity(key, model, named),
      modelId: model.id,
      stage: ready.stage,
      framework: ready.framework,
      modelDigest: ready.modelDigest,
      graphSha256: graph.sha256,
      inputs: graph.inputs,
      outputs: graph.outputs,
      inputSchema: ready.inputSchema ?? null,
      outputSchema: ready.outputSchema ?? null,
      metadata: ready.metadata ?? null,
      lineage: ready.lineage,
      metrics: ready.metrics,
      createdBy: ready.by,
    });
    for (const { name, predicateType, bundle } of signed.attestations) {
      await versions.addAttestation(tx, { modelVersionId: version.id, name, predicateType, bundle });
    }
    await models.raiseOrdinal(tx, model.id, ordinal);
    await changeLog.append(tx, model.id, {
      action: 'registered',
      model: model.name,
      modelVersionId: version.id,
      version: label,
      ordinal,
      by: ready.by,
      stage: ready.stage,
      packageDigest: signed.packageDigest,
      modelDigest: ready.modelDigest,
      lineage: ready.lineage,
    });
    const stored = await versions.findById(tx, version.id);
    if (stored === undefined) throw new Error('A version vanished while it was registered.');
    return stored;
  }

  return {
    /**
     * Writes a version down, or finds the one that it repeats: the same label with the same bytes, or, for a
     * pipeline that asked for no label, a version of equal modelDigest.
     * @throws AppError `version_conflict`, `invalid_name`, `approval_required`, `digest_not_allowed`
     */
    async register(tx: Executor, ready: ReadyRegistration): Promise<Registered> {
      assertNames(ready.model, ready.label);
      const model = await models.lockOrCreate(tx, ready.tenant, ready.model);
      const isPipeline = ready.requestId !== undefined;
      const same = await findSame(tx, model.id, ready);
      const stored = same ?? (await insert(tx, model, ready));
      // inference hears of what it can run
      if ((same === undefined || isPipeline) && stored.version.servingFile !== NOT_SERVABLE) {
        await outbox.append(
          tx,
          ModelVersionRegistered,
          stored.version.id,
          {
            ...versionIds(model, stored),
            stage: stored.version.stage,
            packageDigest: stored.version.packageDigest,
            modelDigest: stored.version.modelDigest,
            files: [...stored.package.manifest.files] as ArtifactRef[],
            ...(ready.requestId === undefined ? {} : { requestId: ready.requestId }),
            isReused: same !== undefined,
          },
          { tenant: model.tenant },
        );
      }
      return { ...stored, model, isReused: same !== undefined };
    },
  };
}
