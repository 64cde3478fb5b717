import { AppError, newId } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { sql } from 'drizzle-orm';
import { RowKey } from '../mlflow/keyset.ts';
import { decodePageToken, encodePageToken } from '../mlflow/page-token.ts';
import type { ExperimentService } from './experiment.service.ts';
import { artifactLocationOf } from './experiment.service.ts';
import type { LifecycleStage } from './experiment.table.ts';
import type { Pair } from './log-writer.ts';
import { notActive } from './log-writer.ts';
import {
  checkedName,
  cutTo,
  invalidValue,
  RUN_NAME_TAG,
  runIdOf,
  runNotFound,
  runUuid,
  TAG_LENGTH_MAX,
} from './names.ts';
import type { FoundRun, RunRepository } from './run.repository.ts';
import type { RunRow, RunStatus, RunTables } from './run.table.ts';
import type { MetricView, RunInfoView } from './run.view.ts';
import { metricView, runInfoView } from './run.view.ts';
import { randomRunName } from './run-name.ts';
import { findRunPage } from './run-page.ts';
import { anyOf, runConditions, runOrder } from './run-search.ts';
import type { ViewType } from './view-type.ts';
import { stagesOf } from './view-type.ts';

const USER_LENGTH_MAX = 256;

export type NewRun = {
  readonly experimentId: string;
  readonly userId: string;
  readonly startMs: number | undefined;
  readonly name: string;
  readonly tags: readonly Pair[];
};
export type RunSearch = {
  readonly experimentIds: readonly string[];
  readonly filter: string;
  readonly orderBy: readonly string[];
  readonly viewType: ViewType;
  readonly maxResults: number;
  readonly pageToken: string | undefined;
};
export type RunService = ReturnType<typeof createRunService>;

/** A tag of a run as it is kept: the key checked, the value cut to MLflow's bound. */
export const checkedRunTag = ({ key, value }: Pair, path = 'key'): Pair => ({
  key: checkedName(key, path),
  value: cutTo(value, TAG_LENGTH_MAX),
});

/** What may happen to runs, but for what they log. */
export function createRunService(deps: {
  database: Database;
  experiments: ExperimentService;
  runs: RunRepository;
  tables: RunTables;
  nowMs?: () => number;
}) {
  const { database, experiments, runs, tables, nowMs = Date.now } = deps;
  const { db } = database;

  async function find(tenant: string, runId: string): Promise<FoundRun> {
    const row = await runs.find(db, tenant, runUuid(runId));
    if (row === undefined) throw runNotFound(runId);
    return row;
  }

  async function findActive(tenant: string, runId: string): Promise<FoundRun> {
    const row = await find(tenant, runId);
    if (row.lifecycleStage !== 'active') throw notActive(runIdOf(row.id));
    return row;
  }

  async function setStage(tenant: string, runId: string, lifecycleStage: LifecycleStage): Promise<void> {
    const { id } = await find(tenant, runId);
    await runs.update(db, id, { lifecycleStage });
  }

  const jsonOf = ({ id, experimentId, isInDefault }: FoundRun): Promise<string> =>
    runs.json(db, [id], isInDefault ? [experimentId] : []);

  return {
    find,
    findActive,
    /** A run with all it holds, as JSON. */
    async get(tenant: string, runId: string): Promise<string> {
      return await jsonOf(await find(tenant, runId));
    },

    /** Gives the run as JSON. */
    async create(tenant: string, given: NewRun): Promise<string> {
      const experiment = await experiments.findActive(tenant, given.experimentId);
      const tags = new Map(given.tags.map((tag) => checkedRunTag(tag)).map(({ key, value }) => [key, value]));
      const named = tags.get(RUN_NAME_TAG);
      if (given.name !== '' && named !== undefined && named !== given.name)
        throw new AppError(
          'invalid_request',
          `Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values (run_name='${given.name}', mlflow.runName='${named}').`,
        );
      const name = cutTo(given.name || named || randomRunName(), TAG_LENGTH_MAX);
      tags.set(RUN_NAME_TAG, name);
      const id = newId();
      const row: RunRow = {
        id,
        tenant,
        experimentId: experiment.id,
        name,
        userId: cutTo(given.userId, USER_LENGTH_MAX),
        status: 'RUNNING',
        startMs: given.startMs ?? nowMs(),
        endMs: null,
        lifecycleStage: 'active',
        artifactUri: `${artifactLocationOf(experiment)}/${runIdOf(id)}/artifacts`,
      };
      await database.transaction(async (tx) => {
        await runs.insert(tx, row);
        await runs.insertTags(
          tx,
          row,
          [...tags].map(([key, value]) => ({ key, value })),
        );
      });
      return await jsonOf({ ...row, isInDefault: experiment.isDefault });
    },

    async update(
      tenant: string,
      runId: string,
      change: { status?: RunStatus | undefined; endMs?: number | undefined; name?: string | undefined },
    ): Promise<RunInfoView> {
      const run = await findActive(tenant, runId);
      const { status, endMs } = change;
      const name =
        change.name === undefined || change.name === '' ? undefined : cutTo(change.name, TAG_LENGTH_MAX);
      const set = {
        ...(status === undefined ? {} : { status }),
        ...(endMs === undefined ? {} : { endMs }),
        ...(name === undefined ? {} : { name }),
      };
      await database.transaction(async (tx) => {
        if (Object.keys(set).length > 0) await runs.update(tx, run.id, set);
        if (name !== undefined) await runs.setTag(tx, run, RUN_NAME_TAG, name);
      });
      return runInfoView({ ...run, ...set });
    },

    remove: (tenant: string, runId: string) => setStage(tenant, runId, 'deleted'),
    restore: (tenant: string, runId: string) => setStage(tenant, runId, 'active'),

    async removeTag(tenant: string, runId: string, key: string): Promise<void> {
      const { id } = await findActive(tenant, runId);
      if (!(await runs.removeTag(db, id, key)))
        throw new AppError('tag_not_found', `No tag with name: ${key} in run with id ${runIdOf(id)}`);
    },

    /** A page of runs as JSON. */
    async search(tenant: string, search: RunSearch): Promise<string> {
      const { experimentIds, filter, orderBy, viewType, maxResults, pageToken } = search;
      const query = [experimentIds, filter, orderBy, viewType];
      const after = decodePageToken(RowKey, pageToken, query);
      const found = await experiments.findAll(tenant, experimentIds);
      const ids = found.map(({ id }) => id);
      const conditions = runConditions(tables, ids, filter);
      const order = runOrder(tables, ids, orderBy);
      if (ids.length === 0) return '{"runs":[]}';
      if (after !== undefined && after.length !== order.terms.length)
        throw invalidValue('page_token', pageToken, 'it belongs to another search.');
      const rows = await findRunPage(db, runs, tables, {
        where: [
          sql`${tables.runs.experimentId} = ${anyOf(ids)}`,
          sql`${tables.runs.lifecycleStage} = any(${sql.param(stagesOf(viewType))}::text[])`,
        ],
        conditions,
        order,
        after,
        limit: maxResults + 1,
      });
      const page = rows.slice(0, maxResults);
      const next = rows.length > maxResults ? page.at(-1)?.key : undefined;
      const shown = await runs.json(
        db,
        page.map(({ id }) => id),
        found.filter(({ isDefault }) => isDefault).map(({ id }) => id),
      );
      const token =
        next === undefined
          ? ''
          : `,"next_page_token":${JSON.stringify(encodePageToken(JSON.parse(next) as (string | null)[], query))}`;
      return `{"runs":[${shown}]${token}}`;
    },

    async history(
      tenant: string,
      search: { runId: string; key: string; maxResults: number; pageToken: string | undefined },
    ): Promise<{ metrics: MetricView[]; next_page_token?: string }> {
      const { id } = await find(tenant, search.runId);
      const query = [id, search.key];
      const after = decodePageToken(RowKey, search.pageToken, query);
      const limit = search.maxResults + 1;
      const rows = await runs.history(db, { runId: id, key: search.key, after, limit });
      const page = rows.slice(0, search.maxResults);
      const next = rows.length > search.maxResults ? page.at(-1)?.key : undefined;
      return {
        metrics: page.map((row) => metricView({ ...row, key: search.key })),
        ...(next === undefined ? {} : { next_page_token: encodePageToken(next, query) }),
      };
    },

    /** A thinned-out history of one metric over several runs, for charts. */
    async historySample(
      tenant: string,
      search: { runIds: readonly string[]; key: string; from: number; to: number; max: number },
    ): Promise<{ metrics: (MetricView & { run_id: string })[] }> {
      const found = await Promise.all(search.runIds.map((runId) => find(tenant, runId)));
      const runIds = found.map(({ id }) => id);
      const rows = await runs.historySample(db, { ...search, runIds });
      return {
        metrics: rows.map((row) => ({
          ...metricView({ ...row, key: search.key }),
          run_id: runIdOf(row.runId),
        })),
      };
    },
  };
}
