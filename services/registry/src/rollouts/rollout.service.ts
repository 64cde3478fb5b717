import { isDeepStrictEqual } from 'node:util';
import type { Outbox } from '@millrace/bus';
import type { LoadVersionReply, RolloutSpec } from '@millrace/contracts';
import { AppError, isAppError, RolloutChanged, RolloutDeleted, RolloutRolledBack } from '@millrace/contracts';
import type { Database, Executor } from '@millrace/database';
import type { Logger } from '@millrace/service-kit';
import type { ChangeLog } from '../history/change-log.ts';
import type { ModelRepository } from '../models/model.repository.ts';
import type { ModelRow } from '../models/model.table.ts';
import type { VersionRepository } from '../versions/version.repository.ts';
import type { FoundVersion, VersionService } from '../versions/version.service.ts';
import { assignBuckets } from './buckets.ts';
import type { RolloutRepository } from './rollout.repository.ts';
import type { RolloutRow } from './rollout.table.ts';
import {
  checkInputs,
  checkRollout,
  invalidRollout,
  rolledBack,
  versionRefs,
  withLabels,
} from './rollout-check.ts';

/** What a caller knows of the present state, as HTTP says it. */
export type Conditions = { readonly ifMatch?: string | undefined; readonly ifNoneMatch?: string | undefined };

/** The entity tag of a revision. */
export const etagOf = (revision: number): string => `"${revision}"`;

/** Who writes what a rollback changes. */
const ROLLED_BACK_BY = 'registry';

function assertConditions(row: RolloutRow | undefined, { ifMatch, ifNoneMatch }: Conditions): void {
  const isNew = row === undefined;
  if (ifNoneMatch !== undefined && !isNew)
    throw new AppError('precondition_failed', `The model has a rollout, revision ${row.revision}.`);
  if (ifMatch === undefined) {
    if (isNew) return;
    throw new AppError(
      'precondition_required',
      `The model has a rollout; send If-Match: ${etagOf(row.revision)} if that revision is what you have read.`,
    );
  }
  const tags = ifMatch.split(',').map((tag) => tag.trim());
  if (!isNew && (tags.includes('*') || tags.includes(etagOf(row.revision)))) return;
  const now = isNew ? 'The model has no rollout' : `The rollout is at revision ${row.revision} now`;
  throw new AppError('precondition_failed', `${now}; read it again and decide anew.`);
}

export type RolloutService = ReturnType<typeof createRolloutService>;

/** The rules of rollouts: what may be set, concurrent changes, and going back. */
export function createRolloutService(options: {
  database: Database;
  models: ModelRepository;
  versions: VersionService;
  versionRows: VersionRepository;
  rollouts: RolloutRepository;
  changeLog: ChangeLog;
  outbox: Outbox;
  /** Loads a version where it is to serve. */
  warmUp: (modelVersionId: string) => Promise<LoadVersionReply>;
  logger: Logger;
}) {
  const { database, models, versions, rollouts, changeLog, outbox } = options;

  async function findTargets(
    tenant: string,
    model: string,
    spec: RolloutSpec,
  ): Promise<Map<string, FoundVersion>> {
    const found = new Map<string, FoundVersion>();
    for (const { field, version } of versionRefs(spec)) {
      if (found.has(version)) continue;
      const target = await versions.find(tenant, model, version).catch((error: unknown) => {
        if (isAppError(error) && error.code === 'version_not_found')
          throw invalidRollout(field, `is ${version}, which the model does not have.`);
        throw error;
      });
      if (target.version.stage === 'archived')
        throw invalidRollout(field, `is ${version}, which is archived; move it to another stage first.`);
      found.set(version, target);
    }
    return found;
  }

  /** Loads the versions before requests go to them, so that none waits for that. */
  async function assertServable(targets: Iterable<FoundVersion>): Promise<void> {
    const byId = new Map([...targets].map((target) => [target.version.id, target]));
    const loads = [...byId.values()].map(async ({ version }) => {
      try {
        await options.warmUp(version.id);
      } catch (error) {
        if (!isAppError(error)) throw error;
        if (!error.retryable)
          throw invalidRollout('body', `names ${version.label}, which cannot serve: ${error.message}`);
        options.logger.warn({ err: error, version: version.label }, 'A version is loaded on demand later.');
      }
    });
    await Promise.all(loads);
  }

  async function write(
    tx: Executor,
    model: ModelRow,
    change: { action: 'rollout-set' | 'rollout-deleted' | 'rollout-rolled-back'; by: string } & Record<
      string,
      unknown
    >,
    values: Omit<Parameters<RolloutRepository['put']>[2], 'updatedBy'>,
  ): Promise<RolloutRow> {
    const row = await rollouts.put(tx, model.id, { ...values, updatedBy: change.by });
    await changeLog.append(tx, model.id, { ...change, model: model.name, revision: row.revision });
    return row;
  }

  const about = (model: ModelRow, revision: number, by: string) => ({
    modelId: model.id,
    model: model.name,
    revision,
    by,
  });

  return {
    /** @throws AppError `model_not_found`, `rollout_not_found` */
    async get(tenant: string, name: string): Promise<{ model: ModelRow; rollout: RolloutRow }> {
      const model = await versions.model(tenant, name);
      const rollout = await rollouts.find(database.db, model.id);
      if (rollout === undefined) throw new AppError('rollout_not_found', `Model ${name} has no rollout.`);
      return { model, rollout };
    },

    /**
     * Makes or replaces the rollout of a model; an equal one changes nothing.
     * @throws AppError `invalid_rollout`, `precondition_required`, `precondition_failed`, `model_not_found`
     */
    async put(
      tenant: string,
      name: string,
      given: RolloutSpec,
      conditions: Conditions,
      by: string,
    ): Promise<{ model: ModelRow; rollout: RolloutRow; isNew: boolean }> {
      const model = await versions.model(tenant, name);
      assertConditions(await rollouts.find(database.db, model.id), conditions);
      const targets = await findTargets(tenant, name, given);
      const spec = withLabels(given, (version) => targets.get(version)?.version.label ?? version);
      checkRollout(spec);
      checkInputs(given, (version) => targets.get(version)?.version.inputs);
      await assertServable(targets.values());
      return database.transaction(async (tx) => {
        await models.lock(tx, model.id);
        const before = await rollouts.find(tx, model.id);
        assertConditions(before, conditions);
        if (before !== undefined && before.rolledBack === null && isDeepStrictEqual(before.spec, spec))
          return { model, rollout: before, isNew: false };
        for (const { version } of targets.values()) {
          const now = await options.versionRows.findById(tx, version.id);
          if (now === undefined || now.version.stage === 'archived')
            throw invalidRollout('body', `names ${version.label}, which was archived or removed meanwhile.`);
        }
        const buckets =
          spec.weights === undefined ? null : assignBuckets(spec.weights, before?.buckets ?? null);
        const rollout = await write(
          tx,
          model,
          { action: 'rollout-set', by, spec },
          { spec, buckets, rolledBack: null },
        );
        await outbox.append(
          tx,
          RolloutChanged,
          model.id,
          { ...about(model, rollout.revision, by), spec },
          { tenant: model.tenant },
        );
        return { model, rollout, isNew: before === undefined };
      });
    },

    /** @throws AppError `rollout_not_found`, `precondition_required`, `precondition_failed`, `model_not_found` */
    async remove(tenant: string, name: string, conditions: Conditions, by: string): Promise<void> {
      const model = await versions.model(tenant, name);
      await database.transaction(async (tx) => {
        await models.lock(tx, model.id);
        const before = await rollouts.find(tx, model.id);
        if (before === undefined) throw new AppError('rollout_not_found', `Model ${name} has no rollout.`);
        assertConditions(before, conditions);
        const { revision } = await write(
          tx,
          model,
          { action: 'rollout-deleted', by },
          { spec: null, buckets: null, rolledBack: null },
        );
        await outbox.append(tx, RolloutDeleted, model.id, about(model, revision, by), {
          tenant: model.tenant,
        });
      });
    },

    /** Takes the canary's weight away; false when the rollout is not at this revision any more. */
    async rollBack(modelId: string, revision: number, reason: string): Promise<boolean> {
      const model = await models.findById(database.db, modelId);
      if (model === undefined) return false;
      return database.transaction(async (tx) => {
        await models.lock(tx, modelId);
        const before = await rollouts.find(tx, modelId);
        const canary = before?.spec.canary;
        if (before === undefined || canary === undefined || before.revision !== revision) return false;
        const spec = rolledBack(before.spec);
        const { version, baseline } = canary;
        const rollback = { at: new Date().toISOString(), version, reason, fromRevision: revision };
        const row = await write(
          tx,
          model,
          { action: 'rollout-rolled-back', by: ROLLED_BACK_BY, spec, reason },
          { spec, buckets: assignBuckets(spec.weights ?? [], before.buckets), rolledBack: rollback },
        );
        await outbox.append(
          tx,
          RolloutRolledBack,
          modelId,
          {
            ...about(model, row.revision, ROLLED_BACK_BY),
            spec,
            version,
            baseline,
            reason,
          },
          { tenant: model.tenant },
        );
        return true;
      });
    },
  };
}
