import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import type { ExperimentService } from './experiment.service.ts';
import { ViewTypeField, viewTypeOf } from './view-type.ts';

const read = { scope: 'models:read' } as const;
const write = { scope: 'train' } as const;
const PAGE_DEFAULT = 1_000;
const PAGE_MAX = 50_000;

const Tag = Type.Object({ key: Type.String(), value: Type.String({ default: '' }) });
const ById = Type.Object({ experiment_id: Type.String() });
const Search = Type.Object({
  filter: Type.Optional(Type.String()),
  order_by: Type.Array(Type.String(), { default: [] }),
  view_type: Type.Optional(ViewTypeField),
  max_results: Type.Integer({ minimum: 1, maximum: PAGE_MAX, default: PAGE_DEFAULT }),
  page_token: Type.Optional(Type.String()),
});

/** MLflow's experiments. */
export function experimentRoutes(options: {
  experiments: ExperimentService;
}): (app: HttpApp) => Promise<void> {
  const { experiments } = options;
  const base = '/2.0/mlflow/experiments';
  return async function registerExperimentRoutes(app) {
    app.get(`${base}/get`, { config: read, schema: { querystring: ById } }, async (request) => ({
      experiment: await experiments.get(request.principal.tenant, request.query.experiment_id),
    }));
    app.get(
      `${base}/get-by-name`,
      { config: read, schema: { querystring: Type.Object({ experiment_name: Type.String() }) } },
      async (request) => ({
        experiment: await experiments.getByName(request.principal.tenant, request.query.experiment_name),
      }),
    );
    app.post(
      `${base}/create`,
      {
        config: write,
        schema: {
          body: Type.Object({
            name: Type.String(),
            artifact_location: Type.String({ default: '' }),
            tags: Type.Array(Tag, { default: [] }),
          }),
        },
      },
      async ({ principal, body }) => ({
        experiment_id: await experiments.create(
          principal.tenant,
          body.name,
          body.artifact_location,
          body.tags,
        ),
      }),
    );
    app.post(
      `${base}/update`,
      {
        config: write,
        schema: { body: Type.Object({ experiment_id: Type.String(), new_name: Type.String() }) },
      },
      async ({ principal, body }) => {
        await experiments.rename(principal.tenant, body.experiment_id, body.new_name);
        return {};
      },
    );
    app.post(`${base}/delete`, { config: write, schema: { body: ById } }, async ({ principal, body }) => {
      await experiments.remove(principal.tenant, body.experiment_id);
      return {};
    });
    app.post(`${base}/restore`, { config: write, schema: { body: ById } }, async ({ principal, body }) => {
      await experiments.restore(principal.tenant, body.experiment_id);
      return {};
    });
    app.post(
      `${base}/set-experiment-tag`,
      { config: write, schema: { body: Type.Object({ ...ById.properties, ...Tag.properties }) } },
      async ({ principal, body }) => {
        await experiments.setTag(principal.tenant, body.experiment_id, { key: body.key, value: body.value });
        return {};
      },
    );
    app.post(
      `${base}/delete-experiment-tag`,
      { config: write, schema: { body: Type.Object({ ...ById.properties, key: Type.String() }) } },
      async ({ principal, body }) => {
        await experiments.removeTag(principal.tenant, body.experiment_id, body.key);
        return {};
      },
    );
    const search = (tenant: string, fields: Type.Static<typeof Search>) =>
      experiments.search(tenant, {
        filter: fields.filter,
        orderBy: fields.order_by,
        viewType: viewTypeOf(fields.view_type),
        maxResults: fields.max_results,
        pageToken: fields.page_token,
      });
    app.post(`${base}/search`, { config: read, schema: { body: Search } }, ({ principal, body }) =>
      search(principal.tenant, body),
    );
    app.get(`${base}/search`, { config: read, schema: { querystring: Search } }, ({ principal, query }) =>
      search(principal.tenant, query),
    );
  };
}
