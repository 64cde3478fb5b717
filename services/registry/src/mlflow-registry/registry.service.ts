import type { Stage } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { sql } from 'drizzle-orm';
import { RowKey } from '../mlflow/keyset.ts';
import { decodePageToken, encodePageToken } from '../mlflow/page-token.ts';
import type { ModelService } from '../models/model.service.ts';
import type { ModelRow } from '../models/model.table.ts';
import type { WordsPatch } from '../models/tags.ts';
import { changedWords } from '../models/tags.ts';
import type { FoundVersion, VersionService } from '../versions/version.service.ts';
import type { ModelRegistrationRepository } from './model-registration.repository.ts';
import type { ModelRegistrationService, NewRegistration } from './model-registration.service.ts';
import type { createModelSources } from './model-source.ts';
import { packageUri } from './registered-artifacts.ts';
import type { ModelView, RegistryRepository, VersionView } from './registry.repository.ts';
import { modelVersion, OWN_TAGS, registeredModel } from './registry.view.ts';
import { modelConditions, modelOrder, versionConditions, versionOrder } from './registry-search.ts';

const NUMBER = /^[1-9][0-9]{0,8}$/;

/** What is searched for, as MLflow's clients ask. */
export type RegistrySearch = {
  readonly filter: string | undefined;
  readonly orderBy: readonly string[];
  readonly maxResults: number;
  readonly pageToken: string | undefined;
};

export type RegistryService = ReturnType<typeof createRegistryService>;

/** MLflow's registered models and model versions, on our models and versions. */
export function createRegistryService(deps: {
  database: Database;
  registry: RegistryRepository;
  modelService: ModelService;
  versions: VersionService;
  rows: ModelRegistrationRepository;
  registrations: ModelRegistrationService;
  sources: ReturnType<typeof createModelSources>;
}) {
  const { database, registry, modelService, versions, rows, registrations } = deps;
  const { db } = database;

  const byNumber = (model: ModelRow, ordinal: number) => ({
    where: [sql`v.model_id = ${model.id}`, sql`v.ordinal = ${ordinal}`],
    terms: versionOrder([]),
    limit: 1,
  });

  function ordinalOf(version: string): number {
    if (NUMBER.test(version)) return Number(version);
    throw new AppError('invalid_request', `Model version must be an integer, got '${version.slice(0, 50)}'.`);
  }

  async function view(tenant: string, name: string, version: string): Promise<VersionView> {
    const ordinal = ordinalOf(version);
    const model = await versions.model(tenant, name);
    const [found] = await registry.versions(db, tenant, byNumber(model, ordinal));
    if (found === undefined)
      throw new AppError('version_not_found', `Model Version (name=${name}, version=${version}) not found`);
    return found.row;
  }

  /** The version itself. @throws AppError `version_not_found`, also for one that is not registered yet */
  async function registered(tenant: string, name: string, version: string): Promise<FoundVersion> {
    const { status, id } = await view(tenant, name, version);
    if (status === 'READY') return versions.findById(id);
    throw new AppError(
      'version_not_found',
      `Version ${version} of ${name} is not registered: it is ${status}.`,
    );
  }

  async function modelViews(tenant: string, found: readonly ModelView[]) {
    if (found.length === 0) return [];
    const ids = found.map(({ id }) => id);
    const aliases = await registry.aliasesOf(db, ids);
    const latest = await registry.versions(db, tenant, {
      where: [sql`v.model_id = any(${sql.param(ids)}::uuid[])`, registry.isNewestOfStage(ids)],
      terms: versionOrder(['version_number ASC']),
      limit: ids.length * 4,
    });
    return found.map((model) =>
      registeredModel(
        model,
        latest.map(({ row }) => row).filter(({ modelId }) => modelId === model.id),
        aliases.filter(({ modelId }) => modelId === model.id),
      ),
    );
  }

  async function model(tenant: string, name: string) {
    const { id } = await versions.model(tenant, name);
    const [found] = await registry.models(db, tenant, {
      where: [sql`m.id = ${id}`],
      terms: modelOrder([]),
      limit: 1,
    });
    const [one] = await modelViews(tenant, found === undefined ? [] : [found.row]);
    if (one === undefined)
      throw new AppError('model_not_found', `Registered Model with name=${name} not found`);
    return one;
  }

  function assertOwn(tags: Readonly<Record<string, unknown>>): void {
    const own = Object.keys(tags).find((key) => key.startsWith(OWN_TAGS));
    if (own === undefined) return;
    throw new AppError('invalid_request', `The tag ${own} says what the registry found; it cannot be set.`);
  }

  function pageOf<Row>(
    found: readonly { row: Row; key: (string | null)[] }[],
    { maxResults }: RegistrySearch,
    query: unknown,
  ): { rows: Row[]; next: { next_page_token?: string } } {
    const page = found.slice(0, maxResults);
    const last = found.length > maxResults ? page.at(-1)?.key : undefined;
    return {
      rows: page.map(({ row }) => row),
      next: last === undefined ? {} : { next_page_token: encodePageToken(last, query) },
    };
  }

  return {
    model,
    view: async (tenant: string, name: string, version: string) =>
      modelVersion(await view(tenant, name, version)),

    async createModel(tenant: string, name: string, words: WordsPatch, by: string) {
      await modelService.create(tenant, name, words, by);
      return model(tenant, name);
    },

    async updateModel(tenant: string, name: string, words: WordsPatch, by: string) {
      await modelService.update(await versions.model(tenant, name), words, by);
      return model(tenant, name);
    },

    async renameModel(tenant: string, name: string, newName: string, by: string) {
      await modelService.rename(await versions.model(tenant, name), newName, by);
      return model(tenant, newName);
    },

    async removeModel(tenant: string, name: string, by: string): Promise<void> {
      const found = await versions.model(tenant, name);
      await modelService.remove(found, by);
      await rows.removeUnregistered(db, found.id);
    },

    async searchModels(tenant: string, search: RegistrySearch) {
      const query = ['models', search.filter, search.orderBy];
      const found = await registry.models(db, tenant, {
        where: modelConditions(search.filter),
        terms: modelOrder(search.orderBy),
        after: decodePageToken(RowKey, search.pageToken, query),
        limit: search.maxResults + 1,
      });
      const { rows: page, next } = pageOf(found, search, query);
      return { registered_models: await modelViews(tenant, page), ...next };
    },

    /** The newest version of each stage, or of those that are named. */
    async latest(tenant: string, name: string, stages: readonly Stage[]) {
      const { latest_versions: all } = await model(tenant, name);
      const ofStage = await Promise.all(all.map(({ version }) => view(tenant, name, version)));
      const wanted = ofStage.filter(
        ({ stage }) => stages.length === 0 || (stage !== null && stages.includes(stage)),
      );
      return wanted.map(modelVersion);
    },

    async setAlias(tenant: string, name: string, alias: string, version: string, by: string): Promise<void> {
      await versions.setAlias(await registered(tenant, name, version), alias, by);
    },

    async byAlias(tenant: string, name: string, alias: string) {
      const found = await versions.find(tenant, name, `@${alias}`);
      return modelVersion(await view(tenant, name, String(found.version.ordinal)));
    },

    /** An alias that is not there is no fault, as in MLflow. */
    async removeAlias(tenant: string, name: string, alias: string, by: string, isApprover: boolean) {
      const found = await versions.model(tenant, name);
      const aliases = await registry.aliasesOf(db, [found.id]);
      if (aliases.some((one) => one.alias === alias))
        await versions.removeAlias(found, alias, by, isApprover);
    },

    async createVersion(tenant: string, name: string, asked: Omit<NewRegistration, 'from'>, by: string) {
      const found = await versions.model(tenant, name);
      const { description } = asked;
      // copies come with the tags of the version that they are of
      const tags = Object.fromEntries(
        Object.entries(asked.tags).filter(([key]) => !key.startsWith(OWN_TAGS)),
      );
      changedWords({ description: '', tags: {} }, { description, tags });
      const from = await deps.sources.resolve(tenant, asked.source, asked.loggedModelId);
      const runId = asked.runId === '' && 'path' in from ? (from.runId ?? '') : asked.runId;
      const ordinal = await registrations.begin(found, { ...asked, runId, tags, from }, by);
      return modelVersion(await view(tenant, name, String(ordinal)));
    },

    /** Changes description or tags, of a version or of what is to become one. */
    async updateVersion(tenant: string, name: string, version: string, words: WordsPatch, by: string) {
      assertOwn(words.tags ?? {});
      const now = await view(tenant, name, version);
      if (now.status === 'READY') await versions.update(await versions.findById(now.id), words, by);
      else
        await database.transaction(async (tx) => {
          const row = await rows.lock(tx, now.id);
          if (row === undefined || row.modelVersionId !== null)
            throw new AppError('version_conflict', 'The version was registered meanwhile; try again.');
          const change = changedWords(row, words);
          if (change !== undefined) await rows.setWords(tx, now.id, change);
        });
      return modelVersion(await view(tenant, name, version));
    },

    async removeVersion(tenant: string, name: string, version: string, by: string): Promise<void> {
      const { status, id } = await view(tenant, name, version);
      if (status === 'READY') await versions.remove(await versions.findById(id), by);
      else await rows.remove(db, id);
    },

    async searchVersions(tenant: string, search: RegistrySearch) {
      const query = ['versions', search.filter, search.orderBy];
      const found = await registry.versions(db, tenant, {
        where: versionConditions(search.filter),
        terms: versionOrder(search.orderBy),
        after: decodePageToken(RowKey, search.pageToken, query),
        limit: search.maxResults + 1,
      });
      const { rows: page, next } = pageOf(found, search, query);
      return { model_versions: page.map(modelVersion), ...next };
    },

    /** Moves a version; with `archiveOthers` those that were in its stage before are archived in the same transaction. */
    async transition(
      tenant: string,
      name: string,
      version: string,
      to: { stage: Stage; archiveOthers: boolean },
      by: string,
    ) {
      const target = await registered(tenant, name, version);
      const isLive = to.stage === 'staging' || to.stage === 'production';
      await versions.setStage(target, to.stage, by, { archiveOthers: to.archiveOthers && isLive });
      return modelVersion(await view(tenant, name, version));
    },

    /** Where the signed files of a version are. */
    async downloadUri(tenant: string, name: string, version: string): Promise<string> {
      return packageUri((await registered(tenant, name, version)).version.id);
    },
  };
}
