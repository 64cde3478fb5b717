import { randomBytes } from 'node:crypto';
import { AppError } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { eq, sql } from 'drizzle-orm';
import { RowKey } from '../mlflow/keyset.ts';
import { decodePageToken, encodePageToken } from '../mlflow/page-token.ts';
import { doubleJson } from '../mlflow/proto-json.ts';
import type { ExperimentService } from './experiment.service.ts';
import { artifactLocationOf } from './experiment.service.ts';
import type { Pair } from './log-writer.ts';
import type { FoundModel, LoggedModelRepository } from './logged-model.repository.ts';
import type { LoggedModelRow, LoggedModelStatus, LoggedModelTables } from './logged-model.table.ts';
import type { DatasetFilter, ModelOrder } from './logged-model-search.ts';
import { modelConditions, modelOrder } from './logged-model-search.ts';
import { checkedName, cutTo, invalidValue, PARAM_LENGTH_MAX, runIdOf, TAG_LENGTH_MAX } from './names.ts';
import type { RunService } from './run.service.ts';
import { randomRunName } from './run-name.ts';
import { anyOf } from './run-search.ts';

const ID_BYTES = 16;
const NAME_LENGTH_MAX = 500;
/** Characters that would make a name part of a path or an address. */
const NAME_FORBIDDEN = /[/:.%"']/;

export type NewLoggedModel = {
  readonly experimentId: string;
  readonly name: string;
  readonly modelType: string;
  readonly sourceRunId: string;
  readonly params: readonly Pair[];
  readonly tags: readonly Pair[];
};
export type LoggedModelSearch = {
  readonly experimentIds: readonly string[];
  readonly filter: string;
  readonly datasets: readonly DatasetFilter[];
  readonly orders: readonly ModelOrder[];
  readonly maxResults: number;
  readonly pageToken: string | undefined;
};
export type LoggedModelService = ReturnType<typeof createLoggedModelService>;

/** What may happen to the logged models of MLflow 3. */
export function createLoggedModelService(deps: {
  database: Database;
  experiments: ExperimentService;
  runs: RunService;
  models: LoggedModelRepository;
  tables: LoggedModelTables;
  nowMs?: () => number;
}) {
  const { database, experiments, runs, models, tables, nowMs = Date.now } = deps;
  const { db } = database;

  async function find(tenant: string, id: string): Promise<FoundModel> {
    const [found] = await models.findAll(db, tenant, [id]);
    if (found !== undefined) return found;
    throw notFound(id);
  }

  async function views(found: readonly FoundModel[]) {
    const ids = found.map(({ row }) => row.id);
    const { params, tags, metrics } =
      ids.length === 0 ? { params: [], tags: [], metrics: [] } : await models.parts(db, ids);
    const of = <Row extends { modelId: string }>(rows: readonly Row[], id: string) =>
      rows.filter(({ modelId }) => modelId === id);
    return found.map(({ row, isInDefault }) => ({
      info: {
        model_id: row.id,
        experiment_id: isInDefault ? '0' : String(row.experimentId),
        name: row.name,
        creation_timestamp_ms: row.createdMs,
        last_updated_timestamp_ms: row.updatedMs,
        artifact_uri: row.artifactUri,
        status: row.status,
        ...(row.modelType === null ? {} : { model_type: row.modelType }),
        ...(row.sourceRunId === null ? {} : { source_run_id: runIdOf(row.sourceRunId) }),
        tags: of(tags, row.id).map(({ key, value }) => ({ key, value })),
      },
      data: {
        params: of(params, row.id).map(({ key, value }) => ({ key, value })),
        metrics: of(metrics, row.id).map((metric) => ({
          key: metric.key,
          value: doubleJson(metric.value),
          timestamp: metric.timestampMs,
          step: metric.step,
          model_id: row.id,
          run_id: runIdOf(metric.runId),
          ...(metric.datasetName === '' ? {} : { dataset_name: metric.datasetName }),
          ...(metric.datasetDigest === '' ? {} : { dataset_digest: metric.datasetDigest }),
        })),
      },
    }));
  }

  const get = async (tenant: string, id: string) => (await views([await find(tenant, id)]))[0];

  return {
    get,

    /** Throws `logged_model_not_found` unless the tenant has all of them. */
    async assertAll(tenant: string, refs: readonly { model_id: string }[]): Promise<void> {
      const ids = refs.map(({ model_id }) => model_id);
      if (ids.length === 0) return;
      const found = new Set((await models.findAll(db, tenant, ids)).map(({ row }) => row.id));
      const missing = ids.find((id) => !found.has(id));
      if (missing !== undefined) throw notFound(missing);
    },

    async create(tenant: string, given: NewLoggedModel) {
      const experiment = await experiments.findActive(tenant, given.experimentId);
      const source = given.sourceRunId === '' ? undefined : await runs.find(tenant, given.sourceRunId);
      const id = `m-${randomBytes(ID_BYTES).toString('hex')}`;
      const now = nowMs();
      const row: LoggedModelRow = {
        id,
        tenant,
        experimentId: experiment.id,
        name: given.name === '' ? randomRunName() : checkedModelName(given.name),
        sourceRunId: source?.id ?? null,
        modelType: given.modelType === '' ? null : given.modelType,
        status: 'LOGGED_MODEL_PENDING',
        artifactUri: `${artifactLocationOf(experiment)}/models/${id}/artifacts`,
        lifecycleStage: 'active',
        createdMs: now,
        updatedMs: now,
      };
      const params = given.params.map(checkedParam);
      const tags = given.tags.map(checkedTag);
      await database.transaction(async (tx) => {
        await models.insert(tx, row);
        if (params.length > 0) await models.addParams(tx, id, params);
        if (tags.length > 0) await models.setTags(tx, id, last(tags));
      });
      return await get(tenant, id);
    },

    async finalize(tenant: string, id: string, status: LoggedModelStatus) {
      await find(tenant, id);
      await models.update(db, id, { status, updatedMs: nowMs() });
      return await get(tenant, id);
    },

    async remove(tenant: string, id: string): Promise<void> {
      await find(tenant, id);
      await models.update(db, id, { lifecycleStage: 'deleted', updatedMs: nowMs() });
    },

    async setTags(tenant: string, id: string, tags: readonly Pair[]) {
      await find(tenant, id);
      const checked = last(tags.map(checkedTag));
      if (checked.length > 0) await models.setTags(db, id, checked);
      return await get(tenant, id);
    },

    async removeTag(tenant: string, id: string, key: string): Promise<void> {
      await find(tenant, id);
      if (!(await models.removeTag(db, id, key)))
        throw new AppError('tag_not_found', `No tag with key '${key}' found for model with ID '${id}'.`);
    },

    /** Parameters are written once, as those of runs. */
    async addParams(tenant: string, id: string, params: readonly Pair[]): Promise<void> {
      await find(tenant, id);
      const checked = params.map(checkedParam);
      await database.transaction(async (tx) => {
        const known = new Map((await models.paramsOf(tx, id)).map(({ key, value }) => [key, value]));
        for (const { key, value } of checked) {
          const old = known.get(key) ?? value;
          if (old !== value)
            throw new AppError(
              'param_conflict',
              `Changing param values is not allowed. Param with key='${key}' was already logged with value='${old}' for model ID='${id}'. Attempted logging new value '${value}'.`,
            );
          known.set(key, value);
        }
        if (checked.length > 0) await models.addParams(tx, id, checked);
      });
    },

    async search(tenant: string, search: LoggedModelSearch) {
      const { experimentIds, filter, datasets, orders, maxResults, pageToken } = search;
      const query = [experimentIds, filter, datasets, orders];
      const after = decodePageToken(RowKey, pageToken, query);
      const conditions = modelConditions(tables, filter, datasets);
      const { terms, joins } = modelOrder(tables, orders);
      const ids = (await experiments.findAll(tenant, experimentIds)).map(({ id }) => id);
      if (ids.length === 0) return { models: [] };
      const rows = await models.search(db, {
        joins,
        where: [
          sql`${tables.loggedModels.experimentId} = ${anyOf(ids)}`,
          eq(tables.loggedModels.lifecycleStage, 'active'),
          ...conditions,
        ],
        terms,
        after,
        limit: maxResults + 1,
      });
      const page = rows.slice(0, maxResults);
      const next = rows.length > maxResults ? page.at(-1)?.key : undefined;
      const found =
        page.length === 0
          ? []
          : await models.findAll(
              db,
              tenant,
              page.map(({ id }) => id),
            );
      const byId = new Map(found.map((one) => [one.row.id, one]));
      return {
        models: await views(page.flatMap(({ id }) => byId.get(id) ?? [])),
        ...(next === undefined ? {} : { next_page_token: encodePageToken(next, query) }),
      };
    },
  };
}

const checkedParam = ({ key, value }: Pair, index: number): Pair => ({
  key: checkedName(key, `params[${index}].key`),
  value: cutTo(value, PARAM_LENGTH_MAX),
});
const checkedTag = ({ key, value }: Pair, index: number): Pair => ({
  key: checkedName(key, `tags[${index}].key`),
  value: cutTo(value, TAG_LENGTH_MAX),
});

/** The last value of each key: one statement cannot write a row twice. */
const last = (tags: readonly Pair[]): Pair[] =>
  [...new Map(tags.map(({ key, value }) => [key, value]))].map(([key, value]) => ({ key, value }));

function checkedModelName(name: string): string {
  if (name.length <= NAME_LENGTH_MAX && !NAME_FORBIDDEN.test(name)) return name;
  throw invalidValue(
    'name',
    name,
    `Model name must be at most ${NAME_LENGTH_MAX} characters and cannot contain the characters / : . % " '.`,
  );
}

function notFound(id: string): AppError {
  return new AppError('logged_model_not_found', `Logged model with ID '${id.slice(0, 64)}' not found.`);
}
