import { AppError } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { eq, sql } from 'drizzle-orm';
import { RowKey } from '../mlflow/keyset.ts';
import { decodePageToken, encodePageToken } from '../mlflow/page-token.ts';
import { DEFAULT_EXPERIMENT_NAME, type ExperimentRepository } from './experiment.repository.ts';
import type { ExperimentRow, ExperimentTables, LifecycleStage } from './experiment.table.ts';
import { experimentConditions, experimentOrder } from './experiment-search.ts';
import type { Pair } from './log-writer.ts';
import {
  checkedName,
  EXPERIMENT_NAME_LENGTH_MAX,
  EXPERIMENT_TAG_LENGTH_MAX,
  invalidValue,
  withinLength,
} from './names.ts';
import type { ViewType } from './view-type.ts';
import { stagesOf } from './view-type.ts';

/** Tenants whose default experiment is known to be there; more are looked up again. */
const TENANTS_MAX = 10_000;
const LOCATION_LENGTH_MAX = 1_000;
/** What may be kept elsewhere has a scheme; a folder of some machine would be found by nobody else. */
const LOCATION = /^(?!file:)[a-z][a-z0-9+.-]*:\/{0,3}[^#?\s]+$/i;

export type ExperimentView = {
  experiment_id: string;
  name: string;
  artifact_location: string;
  lifecycle_stage: LifecycleStage;
  creation_time: number;
  last_update_time: number;
  tags: Pair[];
};

export type ExperimentSearch = {
  readonly filter?: string | undefined;
  readonly orderBy: readonly string[];
  readonly viewType: ViewType;
  readonly maxResults: number;
  readonly pageToken?: string | undefined;
};

export type ExperimentService = ReturnType<typeof createExperimentService>;

/** The id that MLflow's clients know. */
export const experimentIdOf = ({ id, isDefault }: Pick<ExperimentRow, 'id' | 'isDefault'>): string =>
  isDefault ? '0' : String(id);

/** Where the runs of an experiment keep their artifacts. */
export const artifactLocationOf = (row: ExperimentRow): string =>
  row.artifactLocation ?? `mlflow-artifacts:/${experimentIdOf(row)}`;

/** What may happen to experiments. */
export function createExperimentService(deps: {
  database: Database;
  experiments: ExperimentRepository;
  tables: ExperimentTables;
  nowMs?: () => number;
}) {
  const { database, experiments, tables, nowMs = Date.now } = deps;
  const { db } = database;
  const withDefault = new Set<string>();

  /** Every tenant has experiment 0; it is made when the tenant first comes. */
  async function ensureDefault(tenant: string): Promise<void> {
    if (withDefault.has(tenant)) return;
    const values = { tenant, name: DEFAULT_EXPERIMENT_NAME, artifactLocation: null, createdMs: nowMs() };
    await experiments.insert(db, { ...values, isDefault: true });
    if (withDefault.size < TENANTS_MAX) withDefault.add(tenant);
  }

  async function find(tenant: string, id: string): Promise<ExperimentRow> {
    await ensureDefault(tenant);
    const row = await experiments.find(db, tenant, id);
    if (row !== undefined) return row;
    throw new AppError('experiment_not_found', `No Experiment with id=${id.slice(0, 64)} exists`);
  }

  async function findActive(tenant: string, id: string): Promise<ExperimentRow> {
    const row = await find(tenant, id);
    if (row.lifecycleStage === 'active') return row;
    throw new AppError(
      'not_active',
      `The experiment ${experimentIdOf(row)} must be in the 'active' state. Current state is ${row.lifecycleStage}.`,
    );
  }

  async function views(rows: readonly ExperimentRow[]): Promise<ExperimentView[]> {
    const tags =
      rows.length === 0
        ? []
        : await experiments.tags(
            db,
            rows.map(({ id }) => id),
          );
    const byId = Map.groupBy(tags, ({ experimentId }) => experimentId);
    return rows.map((row) => ({
      experiment_id: experimentIdOf(row),
      name: row.name,
      artifact_location: artifactLocationOf(row),
      lifecycle_stage: row.lifecycleStage,
      creation_time: row.createdMs,
      last_update_time: row.updatedMs,
      tags: (byId.get(row.id) ?? []).map(({ key, value }) => ({ key, value })),
    }));
  }

  async function setStage(tenant: string, id: string, lifecycleStage: LifecycleStage): Promise<void> {
    const row = await find(tenant, id);
    await database.transaction(async (tx) => {
      await experiments.update(tx, row.id, { lifecycleStage, updatedMs: nowMs() });
      await experiments.setStageOfRuns(tx, row.id, lifecycleStage);
    });
  }

  return {
    find,
    findActive,

    /** The experiments with these ids that there are. */
    async findAll(tenant: string, ids: readonly string[]): Promise<ExperimentRow[]> {
      await ensureDefault(tenant);
      const rows = await Promise.all([...new Set(ids)].map((id) => experiments.find(db, tenant, id)));
      return rows.filter((row) => row !== undefined);
    },

    async get(tenant: string, id: string): Promise<ExperimentView> {
      const [view] = await views([await find(tenant, id)]);
      return view as ExperimentView;
    },

    async getByName(tenant: string, name: string): Promise<ExperimentView> {
      await ensureDefault(tenant);
      const row = await experiments.findByName(db, tenant, name);
      if (row === undefined)
        throw new AppError('experiment_not_found', `Could not find experiment with name '${name}'`);
      const [view] = await views([row]);
      return view as ExperimentView;
    },

    async create(tenant: string, name: string, location: string, tags: readonly Pair[]): Promise<string> {
      await ensureDefault(tenant);
      const checked = tags.map(checkedTag);
      const values = {
        tenant,
        name: checkedExperimentName(name),
        artifactLocation: checkedLocation(location),
        createdMs: nowMs(),
      };
      const row = await database.transaction(async (tx) => {
        const made = await experiments.insert(tx, values);
        if (made === undefined) throw nameTaken(name);
        if (checked.length > 0) await experiments.setTags(tx, made.id, checked);
        return made;
      });
      return experimentIdOf(row);
    },

    async rename(tenant: string, id: string, name: string): Promise<void> {
      const row = await findActive(tenant, id);
      const taken = await experiments.findByName(db, tenant, checkedExperimentName(name));
      if (taken !== undefined && taken.id !== row.id) throw nameTaken(name);
      await experiments.update(db, row.id, { name, updatedMs: nowMs() });
    },

    remove: (tenant: string, id: string) => setStage(tenant, id, 'deleted'),
    restore: (tenant: string, id: string) => setStage(tenant, id, 'active'),

    async setTag(tenant: string, id: string, tag: Pair): Promise<void> {
      const row = await findActive(tenant, id);
      await experiments.setTags(db, row.id, [checkedTag(tag)]);
    },

    async removeTag(tenant: string, id: string, key: string): Promise<void> {
      const row = await findActive(tenant, id);
      if (!(await experiments.removeTag(db, row.id, key)))
        throw new AppError('tag_not_found', `No tag with name: ${key} in experiment with id ${id}`);
    },

    async search(tenant: string, search: ExperimentSearch) {
      await ensureDefault(tenant);
      const { filter, orderBy, viewType, maxResults, pageToken } = search;
      const terms = experimentOrder(tables, orderBy);
      const query = [filter ?? '', orderBy, viewType];
      const found = await experiments.search(db, {
        where: [
          eq(tables.experiments.tenant, tenant),
          sql`${tables.experiments.lifecycleStage} = any(${sql.param(stagesOf(viewType))})`,
          ...experimentConditions(tables, filter),
        ],
        terms,
        after: decodePageToken(RowKey, pageToken, query),
        limit: maxResults + 1,
      });
      const page = found.slice(0, maxResults);
      const next = found.length > maxResults ? page.at(-1)?.key : undefined;
      return {
        experiments: await views(page.map(({ row }) => row)),
        ...(next === undefined ? {} : { next_page_token: encodePageToken(next, query) }),
      };
    },
  };
}

const checkedTag = ({ key, value }: Pair): Pair => ({
  key: checkedName(key, 'key'),
  value: withinLength(value, 'value', EXPERIMENT_TAG_LENGTH_MAX),
});

function checkedExperimentName(name: string): string {
  if (name.trim() === '') throw invalidValue('name', name, 'Experiment name must be a non-empty text.');
  return withinLength(name, 'name', EXPERIMENT_NAME_LENGTH_MAX);
}

function checkedLocation(location: string): string | null {
  if (location === '') return null;
  if (LOCATION.test(location) && !location.split(/[/\\]/).includes('..'))
    return withinLength(location.replace(/\/+$/, ''), 'artifact_location', LOCATION_LENGTH_MAX);
  throw invalidValue(
    'artifact_location',
    location,
    'it must be an address such as s3://bucket/folder; leave it out to keep artifacts here.',
  );
}

function nameTaken(name: string): AppError {
  return new AppError(
    'name_taken',
    `Experiment(name=${name}) already exists; it may be deleted, then restore it or choose another name.`,
  );
}
