import { AppError, newId } from '@millrace/contracts';
import type { Database, Executor } from '@millrace/database';
import { sqlState } from '@millrace/database';
import type { ChangeLog } from '../history/change-log.ts';
import { assertNames } from '../registration/labels.ts';
import type { RolloutRepository } from '../rollouts/rollout.repository.ts';
import type { VersionRepository } from '../versions/version.repository.ts';
import type { VersionService } from '../versions/version.service.ts';
import type { ModelRepository } from './model.repository.ts';
import type { ModelRow } from './model.table.ts';
import type { WordsPatch } from './tags.ts';
import { changedWords } from './tags.ts';

/** Versions that are deleted with their model in one transaction; delete the others one by one first. */
const VERSIONS_DELETED_MAX = 1_000;

export type ModelService = ReturnType<typeof createModelService>;

/** The rules of models as such: making, describing, renaming, deleting. */
export function createModelService(options: {
  database: Database;
  models: ModelRepository;
  versionRows: VersionRepository;
  versions: VersionService;
  rollouts: RolloutRepository;
  changeLog: ChangeLog;
}) {
  const { database, models, versionRows, versions, rollouts, changeLog } = options;

  /** The model as it stands, locked. @throws AppError `model_not_found` */
  async function lock(tx: Executor, { id, name }: ModelRow): Promise<ModelRow> {
    await models.lock(tx, id);
    const now = await models.findById(tx, id);
    if (now === undefined) throw new AppError('model_not_found', `There is no model ${name} any more.`);
    return now;
  }

  return {
    /**
     * Makes a model that has no version yet.
     * @throws AppError `model_conflict`, `invalid_name`, `invalid_request`
     */
    async create(tenant: string, name: string, words: WordsPatch, by: string): Promise<ModelRow> {
      assertNames(name, undefined);
      const { description = '', tags = {} } = changedWords({ description: '', tags: {} }, words) ?? {};
      return database.transaction(async (tx) => {
        const row = await models.insert(tx, { id: newId(), tenant, name, description, tags });
        if (row === undefined) throw new AppError('model_conflict', `There is a model ${name} already.`);
        await changeLog.append(tx, row.id, { action: 'model-created', by, model: name, description, tags });
        return row;
      });
    },

    /**
     * Changes description and tags; nothing new changes nothing.
     * @throws AppError `model_not_found`, `invalid_request`
     */
    async update(model: ModelRow, patch: WordsPatch, by: string): Promise<ModelRow> {
      return database.transaction(async (tx) => {
        const now = await lock(tx, model);
        const change = changedWords(now, patch);
        if (change === undefined) return now;
        await changeLog.append(tx, now.id, { action: 'model-updated', by, model: now.name, ...patch });
        return (await models.update(tx, now.id, change)) ?? now;
      });
    },

    /**
     * Gives a model without versions another name. One that has had versions keeps its name: signatures, events and
     * predictions that are out already name it.
     * @throws AppError `model_in_use`, `model_conflict`, `model_not_found`, `invalid_name`
     */
    async rename(model: ModelRow, name: string, by: string): Promise<ModelRow> {
      assertNames(name, undefined);
      const taken = (): AppError => new AppError('model_conflict', `There is a model ${name} already.`);
      const rename = async (tx: Executor): Promise<ModelRow> => {
        const now = await lock(tx, model);
        if (now.name === name) return now;
        if (now.lastOrdinal > 0)
          throw new AppError(
            'model_in_use',
            `${now.name} has had versions: signatures, events and predictions name it, so it keeps its name. Register its versions under ${name} instead.`,
          );
        if ((await models.find(tx, now.tenant, name)) !== undefined) throw taken();
        await changeLog.append(tx, now.id, { action: 'model-renamed', by, model: name, from: now.name });
        return (await models.update(tx, now.id, { name })) ?? now;
      };
      try {
        return await database.transaction(rename);
      } catch (error) {
        // somebody else took the name meanwhile
        if (sqlState(error) === '23505') throw taken();
        throw error;
      }
    },

    /**
     * Deletes a model with its versions; its history stays, its name is free again.
     * @throws AppError `model_in_use`, `version_in_use`, `version_in_rollout`, `model_not_found`
     */
    async remove(model: ModelRow, by: string): Promise<void> {
      await database.transaction(async (tx) => {
        const now = await lock(tx, model);
        if ((await rollouts.find(tx, now.id)) !== undefined)
          throw new AppError('model_in_use', `${now.name} has a rollout; delete that first.`);
        const rows = await versionRows.listOldestFirst(tx, now.id, VERSIONS_DELETED_MAX + 1);
        if (rows.length > VERSIONS_DELETED_MAX)
          throw new AppError(
            'model_in_use',
            `${now.name} has over ${VERSIONS_DELETED_MAX} versions; delete some of them one by one first.`,
          );
        for (const row of rows) {
          const found = await versionRows.findById(tx, row.id);
          if (found !== undefined) await versions.removeIn(tx, { ...found, model: now }, by);
        }
        await changeLog.append(tx, now.id, { action: 'model-deleted', by, model: now.name });
        await models.update(tx, now.id, { deletedAt: new Date() });
      });
    },
  };
}
