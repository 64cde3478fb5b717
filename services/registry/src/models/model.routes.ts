import { Stage, Uuid } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { HttpApp } from '@millrace/service-kit';
import { decodeCursor, pageOf, pageQuery, toPage } from '@millrace/service-kit';
import Type from 'typebox';
import type { VersionRepository } from '../versions/version.repository.ts';
import type { VersionService } from '../versions/version.service.ts';
import type { VersionRow } from '../versions/version.table.ts';
import type { ModelRepository } from './model.repository.ts';
import type { ModelService } from './model.service.ts';
import type { ModelRow } from './model.table.ts';
import { readTagFilter, tagQuery, WordsPatch } from './tags.ts';

const tags = ['models'];
const read = { scope: 'models:read' } as const;
const write = { scope: 'models:write' } as const;
const Pointer = Type.Union([
  Type.Object({ version: Type.String(), ordinal: Type.Integer(), stage: Stage }),
  Type.Null(),
]);
const ModelView = Type.Object({
  id: Uuid,
  name: Type.String(),
  description: Type.String(),
  tags: Type.Record(Type.String(), Type.String()),
  createdAt: Type.String(),
  updatedAt: Type.String(),
  versions: Type.Integer({ description: 'How many versions it has.' }),
  latest: Pointer,
  serving: Pointer,
  aliases: Type.Record(Type.String(), Type.String(), { description: 'Version label by alias.' }),
});
const ModelParams = Type.Object({ name: Type.String() });
const AliasParams = Type.Object({ name: Type.String(), alias: Type.String() });

export type ModelRoutesOptions = {
  database: Database;
  models: ModelRepository;
  repository: VersionRepository;
  versions: VersionService;
  modelService: ModelService;
};

/** Models: make, list, describe, rename, delete, and their aliases. */
export function modelRoutes(options: ModelRoutesOptions): (app: HttpApp) => Promise<void> {
  const { database, models, versions, modelService } = options;
  return async function registerModelRoutes(app) {
    app.get(
      '/v1/models',
      {
        config: read,
        schema: {
          operationId: 'listModels',
          tags,
          querystring: Type.Object(
            {
              ...pageQuery,
              search: Type.Optional(
                Type.String({ minLength: 1, maxLength: 255, description: 'Part of the name.' }),
              ),
              tag: tagQuery,
            },
            { additionalProperties: false },
          ),
          response: { 200: pageOf(ModelView) },
        },
      },
      async (request) => {
        const { limit, cursor, search, tag } = request.query;
        const after = decodeCursor(Type.Object({ name: Type.String() }), cursor);
        const rows = await models.list(database.db, request.principal.tenant, {
          limit: limit + 1,
          ...(after === undefined ? {} : { afterName: after.name }),
          search,
          tag: readTagFilter(tag),
        });
        const page = toPage(
          rows,
          limit,
          (row) => ({ name: row.name }),
          (row) => row,
        );
        return { ...page, items: await Promise.all(page.items.map((row) => view(options, row))) };
      },
    );

    app.get(
      '/v1/models/:name',
      {
        config: read,
        schema: { operationId: 'getModel', tags, params: ModelParams, response: { 200: ModelView } },
      },
      async ({ principal, params }) => view(options, await versions.model(principal.tenant, params.name)),
    );

    app.post(
      '/v1/models',
      {
        config: write,
        schema: {
          operationId: 'createModel',
          tags,
          body: Type.Object(
            { name: Type.String({ minLength: 1 }), ...WordsPatch.properties },
            { additionalProperties: false },
          ),
          response: { 201: ModelView },
        },
      },
      async ({ principal, body: { name, ...words } }, reply) => {
        const model = await modelService.create(principal.tenant, name, words, principal.id);
        return reply.status(201).send(await view(options, model));
      },
    );

    app.patch(
      '/v1/models/:name',
      {
        config: write,
        schema: {
          operationId: 'updateModel',
          tags,
          params: ModelParams,
          body: Type.Object(
            {
              name: Type.Optional(
                Type.String({
                  minLength: 1,
                  description: 'A new name, for a model that never had a version.',
                }),
              ),
              ...WordsPatch.properties,
            },
            { additionalProperties: false },
          ),
          response: { 200: ModelView },
        },
      },
      async ({ principal, params, body: { name, ...words } }) => {
        const found = await versions.model(principal.tenant, params.name);
        const model = await modelService.update(found, words, principal.id);
        return view(
          options,
          name === undefined ? model : await modelService.rename(model, name, principal.id),
        );
      },
    );

    app.delete(
      '/v1/models/:name',
      {
        config: write,
        schema: { operationId: 'deleteModel', tags, params: ModelParams, response: { 204: Type.Null() } },
      },
      async ({ principal, params }, reply) => {
        await modelService.remove(await versions.model(principal.tenant, params.name), principal.id);
        return reply.status(204).send(null);
      },
    );

    app.put(
      '/v1/models/:name/aliases/:alias',
      {
        config: write,
        schema: {
          operationId: 'setModelAlias',
          tags,
          params: AliasParams,
          body: Type.Object({ version: Type.String({ minLength: 1 }) }, { additionalProperties: false }),
          response: { 200: ModelView },
        },
      },
      async ({ principal, params, body }) => {
        const found = await versions.find(principal.tenant, params.name, body.version);
        await versions.setAlias(found, params.alias, principal.id);
        return view(options, found.model);
      },
    );

    app.delete(
      '/v1/models/:name/aliases/:alias',
      {
        config: write,
        schema: { operationId: 'removeModelAlias', tags, params: AliasParams, response: { 200: ModelView } },
      },
      async ({ principal, params }) => {
        const model = await versions.model(principal.tenant, params.name);
        const isApprover = principal.scopes.some((scope) => scope === 'models:approve' || scope === 'admin');
        await versions.removeAlias(model, params.alias, principal.id, isApprover);
        return view(options, model);
      },
    );
  };
}

async function view({ database, models, repository, versions }: ModelRoutesOptions, model: ModelRow) {
  const { db } = database;
  const [latest] = await repository.list(db, model.id, { limit: 1 });
  const serving = await versions.serving(model);
  const aliases = await Promise.all(
    (await models.aliases(db, model.id)).map(async ({ alias, modelVersionId }) => {
      const found = await repository.findById(db, modelVersionId);
      return [alias, found?.version.label ?? ''] as const;
    }),
  );
  return {
    id: model.id,
    name: model.name,
    description: model.description,
    tags: { ...model.tags },
    createdAt: model.createdAt.toISOString(),
    updatedAt: model.updatedAt.toISOString(),
    versions: await repository.count(db, model.id),
    latest: pointer(latest),
    serving: pointer(serving?.version),
    aliases: Object.fromEntries(aliases),
  };
}

function pointer(version: VersionRow | undefined) {
  if (version === undefined) return null;
  return { version: version.label, ordinal: version.ordinal, stage: version.stage };
}
