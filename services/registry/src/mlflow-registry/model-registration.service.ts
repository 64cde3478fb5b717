import { setTimeout as sleep } from 'node:timers/promises';
import { AppError, isAppError, newId } from '@millrace/contracts';
import type { Database, Executor } from '@millrace/database';
import type { Storage } from '@millrace/storage';
import type { Gate } from '../governance/gate.ts';
import type { ChangeLog } from '../history/change-log.ts';
import type { ModelRepository } from '../models/model.repository.ts';
import type { ModelRow, Tags } from '../models/model.table.ts';
import { assertPickles } from '../registration/pickles.ts';
import type { ReadyRegistration, RegistrationService } from '../registration/registration.service.ts';
import type { SigningKey } from '../registration/sign.ts';
import type { ArtifactService } from '../tracking/artifact.service.ts';
import type { WorkLimit } from '../uploads/work-limit.ts';
import type { VersionRepository } from '../versions/version.repository.ts';
import { takeModelFiles } from './model-files.ts';
import type { ModelRegistrationRepository } from './model-registration.repository.ts';
import type { ModelRegistrationRow } from './model-registration.table.ts';
import type { ModelSource } from './model-source.ts';
import { prepareModel } from './prepare-model.ts';

/** A registration that nobody works on for this long is taken up again (ms). */
const LEASE_MS = 120_000;
const RENEW_MS = 30_000;
/** How often registrations are looked for that a process left behind (ms). */
const SWEEP_MS = 15_000;
/** A small model is ready within this, and its client needs to ask no second time (ms). */
const ANSWER_WAIT_MS = 2_000;
/** How long an ending process waits for what it works on (ms). */
const STOP_WAIT_MS = 5_000;
/** What may pass, such as a store that is away, is tried this often. */
const ATTEMPTS_MAX = 5;

/** What a client of MLflow asks to be registered. */
export type NewRegistration = {
  readonly source: string;
  readonly from: ModelSource;
  readonly runId: string;
  readonly runLink: string;
  readonly loggedModelId: string;
  readonly description: string;
  readonly tags: Tags;
};

export type ModelRegistrationService = ReturnType<typeof createModelRegistrationService>;

/** Takes models in that MLflow's clients logged: number first, then digests and signature, then the version. */
export function createModelRegistrationService(deps: {
  database: Database;
  storage: Storage;
  key: SigningKey;
  artifacts: ArtifactService;
  models: ModelRepository;
  versionRows: VersionRepository;
  registrations: RegistrationService;
  rows: ModelRegistrationRepository;
  gate: Gate;
  changeLog: ChangeLog;
  limit: WorkLimit;
  logger: { warn(fields: object, message: string): void };
}) {
  const { database, storage, key, models, versionRows, registrations, rows, gate, changeLog } = deps;
  const working = new Set<Promise<void>>();

  /** The same package under another name or number. */
  async function copyOf(row: ModelRegistrationRow, model: ModelRow, id: string): Promise<ReadyRegistration> {
    const from = await versionRows.findById(database.db, id);
    if (from === undefined)
      throw new AppError('version_not_found', 'The version to copy is not there any more.');
    const { version, package: pack } = from;
    return {
      tenant: model.tenant,
      model: model.name,
      label: String(row.ordinal),
      stage: 'development',
      framework: version.framework,
      modelDigest: version.modelDigest,
      graph: { sha256: version.graphSha256, inputs: version.inputs, outputs: version.outputs },
      servingFile: version.servingFile,
      signed: { ...pack, attestations: await versionRows.attestations(database.db, id) },
      inputSchema: version.inputSchema ?? undefined,
      outputSchema: version.outputSchema ?? undefined,
      metadata: version.metadata ?? undefined,
      lineage: { ...version.lineage, copiedFrom: id },
      metrics: version.metrics,
      by: row.createdBy,
      requestId: undefined,
    };
  }

  async function prepare(row: ModelRegistrationRow, model: ModelRow): Promise<ReadyRegistration> {
    if (row.copiedFrom !== null) return copyOf(row, model, row.copiedFrom);
    const taken = await takeModelFiles(deps, model.tenant, row.artifactPath ?? '');
    const { policy } = await gate.policyOf(database.db, model);
    assertPickles(taken.pickles, policy);
    return prepareModel({ storage, key }, row, { tenant: model.tenant, model: model.name }, taken);
  }

  /** Writes the version, with what was said of it meanwhile. */
  async function finish(tx: Executor, id: string, ready: ReadyRegistration): Promise<void> {
    const row = await rows.lock(tx, id);
    if (row === undefined || row.status !== 'PENDING_REGISTRATION') return;
    const { version, model } = await registrations.register(tx, ready);
    const { description, tags } = row;
    if (description !== '' || Object.keys(tags).length > 0) {
      await versionRows.update(tx, version.id, { description, tags });
      await changeLog.append(tx, model.id, {
        action: 'version-updated',
        by: row.createdBy,
        model: model.name,
        modelVersionId: version.id,
        version: version.label,
        description,
        tags,
      });
    }
    await rows.end(tx, id, { status: 'READY', statusMessage: '', modelVersionId: version.id });
  }

  async function work(row: ModelRegistrationRow): Promise<void> {
    const renewing = setInterval(() => {
      rows.renew(database.db, row.id, LEASE_MS).catch(() => undefined);
    }, RENEW_MS);
    try {
      const model = await models.findById(database.db, row.modelId);
      // deleted meanwhile
      if (model === undefined) return void (await rows.remove(database.db, row.id));
      const ready = await prepare(row, model);
      await database.transaction((tx) => finish(tx, row.id, ready));
    } catch (error) {
      const isPassing = !isAppError(error) || error.retryable;
      if (isPassing)
        deps.logger.warn({ err: error, registrationId: row.id }, 'A model could not be registered.');
      if (isPassing && row.attempts < ATTEMPTS_MAX) return;
      const statusMessage = isAppError(error)
        ? `${error.code}: ${error.message}`
        : 'internal: The model could not be registered.';
      await rows.end(database.db, row.id, { status: 'FAILED_REGISTRATION', statusMessage });
    } finally {
      clearInterval(renewing);
    }
  }

  /** Works on one registration, or on all that are left over. */
  async function run(id?: string): Promise<void> {
    for (;;) {
      const row = await rows.claim(database.db, LEASE_MS, id);
      if (row === undefined) return;
      await work(row);
      if (id !== undefined) return;
    }
  }

  function start(id?: string): Promise<void> {
    const task: Promise<void> = deps
      .limit(() => run(id))
      .catch((error: unknown) =>
        deps.logger.warn({ err: error }, 'Registrations wait; they are looked for again.'),
      )
      .finally(() => working.delete(task));
    working.add(task);
    return task;
  }

  const sweeping = setInterval(() => {
    if (working.size === 0) void start();
  }, SWEEP_MS);
  sweeping.unref();
  // what the process before left behind
  void start();

  return {
    /** Gives the registration its number and begins to work on it; waits for what is done at once. */
    async begin(model: ModelRow, asked: NewRegistration, by: string): Promise<number> {
      const id = newId();
      const ordinal = await database.transaction(async (tx) => {
        await models.lock(tx, model.id);
        const now = await models.findById(tx, model.id);
        if (now === undefined)
          throw new AppError('model_not_found', `There is no model ${model.name} any more.`);
        const next = now.lastOrdinal + 1;
        await models.raiseOrdinal(tx, model.id, next);
        const at = Date.now();
        const { from, ...words } = asked;
        await rows.insert(tx, {
          id,
          modelId: model.id,
          ordinal: next,
          status: 'PENDING_REGISTRATION',
          ...words,
          ...('path' in from ? { artifactPath: from.path } : { copiedFrom: from.modelVersionId }),
          createdBy: by,
          createdMs: at,
          updatedMs: at,
        });
        return next;
      });
      await Promise.race([start(id), sleep(ANSWER_WAIT_MS, undefined, { ref: false })]);
      return ordinal;
    },

    async stop(): Promise<void> {
      clearInterval(sweeping);
      // what is not done by then is taken up by the next process
      await Promise.race([Promise.all(working), sleep(STOP_WAIT_MS, undefined, { ref: false })]);
    },
  };
}
