import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import type { RegistryService } from './registry.service.ts';
import { stageOf } from './registry.view.ts';

const read = { scope: 'models:read' } as const;
const write = { scope: 'models:write' } as const;
const base = '/2.0/mlflow/registered-models';
const PAGE_DEFAULT = 100;
const PAGE_MAX = 1_000;

const Tag = Type.Object({ key: Type.String({ minLength: 1 }), value: Type.String({ default: '' }) });
const Named = Type.Object({ name: Type.String() });
const Alias = Type.Object({ ...Named.properties, alias: Type.String() });
const Search = Type.Object({
  filter: Type.Optional(Type.String()),
  order_by: Type.Array(Type.String(), { default: [] }),
  max_results: Type.Integer({ minimum: 1, maximum: PAGE_MAX, default: PAGE_DEFAULT }),
  page_token: Type.Optional(Type.String()),
});
const Latest = Type.Object({ ...Named.properties, stages: Type.Array(Type.String(), { default: [] }) });

/** Tags as MLflow sends them, by key. */
export const tagsOf = (tags: readonly { key: string; value: string }[]): Record<string, string> =>
  Object.fromEntries(tags.map(({ key, value }) => [key, value]));

/** MLflow's registered models and their aliases. */
export function registeredModelRoutes(registry: RegistryService): (app: HttpApp) => Promise<void> {
  return async function registerRegisteredModelRoutes(app) {
    app.post(
      `${base}/create`,
      {
        config: write,
        schema: {
          body: Type.Object({
            ...Named.properties,
            description: Type.String({ default: '' }),
            tags: Type.Array(Tag, { default: [] }),
          }),
        },
      },
      async ({ principal, body: { name, description, tags } }) => ({
        registered_model: await registry.createModel(
          principal.tenant,
          name,
          { description, tags: tagsOf(tags) },
          principal.id,
        ),
      }),
    );
    app.get(
      `${base}/get`,
      { config: read, schema: { querystring: Named } },
      async ({ principal, query }) => ({
        registered_model: await registry.model(principal.tenant, query.name),
      }),
    );
    app.patch(
      `${base}/update`,
      {
        config: write,
        schema: { body: Type.Object({ ...Named.properties, description: Type.String({ default: '' }) }) },
      },
      async ({ principal, body: { name, description } }) => ({
        registered_model: await registry.updateModel(principal.tenant, name, { description }, principal.id),
      }),
    );
    app.post(
      `${base}/rename`,
      { config: write, schema: { body: Type.Object({ ...Named.properties, new_name: Type.String() }) } },
      async ({ principal, body }) => ({
        registered_model: await registry.renameModel(
          principal.tenant,
          body.name,
          body.new_name,
          principal.id,
        ),
      }),
    );
    app.delete(`${base}/delete`, { config: write, schema: { body: Named } }, async ({ principal, body }) => {
      await registry.removeModel(principal.tenant, body.name, principal.id);
      return {};
    });
    const search = (tenant: string, fields: Type.Static<typeof Search>) =>
      registry.searchModels(tenant, {
        filter: fields.filter,
        orderBy: fields.order_by,
        maxResults: fields.max_results,
        pageToken: fields.page_token,
      });
    app.get(`${base}/search`, { config: read, schema: { querystring: Search } }, ({ principal, query }) =>
      search(principal.tenant, query),
    );
    app.post(`${base}/search`, { config: read, schema: { body: Search } }, ({ principal, body }) =>
      search(principal.tenant, body),
    );
    const latest = async (tenant: string, { name, stages }: Type.Static<typeof Latest>) => ({
      model_versions: await registry.latest(tenant, name, stages.map(stageOf)),
    });
    app.post(
      `${base}/get-latest-versions`,
      { config: read, schema: { body: Latest } },
      ({ principal, body }) => latest(principal.tenant, body),
    );
    app.get(
      `${base}/get-latest-versions`,
      { config: read, schema: { querystring: Latest } },
      ({ principal, query }) => latest(principal.tenant, query),
    );
    app.post(
      `${base}/set-tag`,
      { config: write, schema: { body: Type.Object({ ...Named.properties, ...Tag.properties }) } },
      async ({ principal, body }) => {
        await registry.updateModel(
          principal.tenant,
          body.name,
          { tags: { [body.key]: body.value } },
          principal.id,
        );
        return {};
      },
    );
    app.delete(
      `${base}/delete-tag`,
      { config: write, schema: { body: Type.Object({ ...Named.properties, key: Type.String() }) } },
      async ({ principal, body }) => {
        await registry.updateModel(principal.tenant, body.name, { tags: { [body.key]: null } }, principal.id);
        return {};
      },
    );
    registerAliases(app, registry);
  };
}

function registerAliases(app: HttpApp, registry: RegistryService): void {
  app.post(
    `${base}/alias`,
    { config: write, schema: { body: Type.Object({ ...Alias.properties, version: Type.String() }) } },
    async ({ principal, body: { name, alias, version } }) => {
      await registry.setAlias(principal.tenant, name, alias, version, principal.id);
      return {};
    },
  );
  app.get(
    `${base}/alias`,
    { config: read, schema: { querystring: Alias } },
    async ({ principal, query }) => ({
      model_version: await registry.byAlias(principal.tenant, query.name, query.alias),
    }),
  );
  app.delete(`${base}/alias`, { config: write, schema: { body: Alias } }, async ({ principal, body }) => {
    const isApprover = principal.scopes.some((scope) => scope === 'models:approve' || scope === 'admin');
    await registry.removeAlias(principal.tenant, body.name, body.alias, principal.id, isApprover);
    return {};
  });
}
