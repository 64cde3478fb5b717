import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import type { LoggedModelService } from './logged-model.service.ts';
import type { LoggedModelStatus } from './logged-model.table.ts';
import { loggedModelStatuses } from './logged-model.table.ts';
import { PairField } from './run-fields.ts';

const read = { scope: 'models:read' } as const;
const write = { scope: 'train' } as const;
const PAIRS_MAX = 1_000;
const PAGE_MAX = 1_000;
const PAGE_DEFAULT = 100;
const ORDERS_MAX = 10;
const PARAMS_BYTES_MAX = 8 * 1024 * 1024;

const ById = Type.Object({ model_id: Type.String() });
const Pairs = Type.Array(PairField, { default: [], maxItems: PAIRS_MAX });
/** By name, or by the number of the name. */
const Status = Type.Union([
  Type.Unsafe<LoggedModelStatus>(Type.String({ enum: [...loggedModelStatuses] })),
  Type.Integer({ minimum: 1, maximum: loggedModelStatuses.length }),
]);
const optional = (text: string | undefined): string | undefined => (text === '' ? undefined : text);

/** MLflow 3's logged models. */
export function loggedModelRoutes(options: {
  loggedModels: LoggedModelService;
}): (app: HttpApp) => Promise<void> {
  const { loggedModels: models } = options;
  const base = '/2.0/mlflow/logged-models';
  return async function registerLoggedModelRoutes(app) {
    app.post(
      base,
      {
        config: write,
        bodyLimit: PARAMS_BYTES_MAX,
        schema: {
          body: Type.Object({
            experiment_id: Type.String(),
            name: Type.String({ default: '' }),
            model_type: Type.String({ default: '' }),
            source_run_id: Type.String({ default: '' }),
            params: Pairs,
            tags: Pairs,
          }),
        },
      },
      async ({ principal, body }) => ({
        model: await models.create(principal.tenant, {
          experimentId: body.experiment_id,
          name: body.name,
          modelType: body.model_type,
          sourceRunId: body.source_run_id,
          params: body.params,
          tags: body.tags,
        }),
      }),
    );
    app.get(
      `${base}/:model_id`,
      { config: read, schema: { params: ById } },
      async ({ principal, params }) => ({
        model: await models.get(principal.tenant, params.model_id),
      }),
    );
    app.patch(
      `${base}/:model_id`,
      { config: write, schema: { params: ById, body: Type.Object({ status: Status }) } },
      async ({ principal, params, body }) => {
        const status = typeof body.status === 'number' ? loggedModelStatuses[body.status - 1] : body.status;
        return {
          model: await models.finalize(principal.tenant, params.model_id, status ?? 'LOGGED_MODEL_READY'),
        };
      },
    );
    app.delete(
      `${base}/:model_id`,
      { config: write, schema: { params: ById } },
      async ({ principal, params }) => {
        await models.remove(principal.tenant, params.model_id);
        return {};
      },
    );
    app.patch(
      `${base}/:model_id/tags`,
      { config: write, schema: { params: ById, body: Type.Object({ tags: Pairs }) } },
      async ({ principal, params, body }) => ({
        model: await models.setTags(principal.tenant, params.model_id, body.tags),
      }),
    );
    app.delete(
      `${base}/:model_id/tags/:key`,
      { config: write, schema: { params: Type.Object({ ...ById.properties, key: Type.String() }) } },
      async ({ principal, params }) => {
        await models.removeTag(principal.tenant, params.model_id, params.key);
        return {};
      },
    );
    app.post(
      `${base}/:model_id/params`,
      {
        config: write,
        bodyLimit: PARAMS_BYTES_MAX,
        schema: { params: ById, body: Type.Object({ params: Pairs }) },
      },
      async ({ principal, params, body }) => {
        await models.addParams(principal.tenant, params.model_id, body.params);
        return {};
      },
    );
    app.post(
      `${base}/search`,
      {
        config: read,
        schema: {
          body: Type.Object({
            experiment_ids: Type.Array(Type.String(), { default: [], maxItems: 1_000 }),
            filter: Type.String({ default: '' }),
            datasets: Type.Array(
              Type.Object({
                dataset_name: Type.String({ minLength: 1 }),
                dataset_digest: Type.Optional(Type.String()),
              }),
              { default: [], maxItems: 100 },
            ),
            order_by: Type.Array(
              Type.Object({
                field_name: Type.String(),
                ascending: Type.Boolean({ default: true }),
                dataset_name: Type.Optional(Type.String()),
                dataset_digest: Type.Optional(Type.String()),
              }),
              { default: [], maxItems: ORDERS_MAX },
            ),
            max_results: Type.Integer({ minimum: 1, maximum: PAGE_MAX, default: PAGE_DEFAULT }),
            page_token: Type.Optional(Type.String()),
          }),
        },
      },
      async ({ principal, body }) =>
        await models.search(principal.tenant, {
          experimentIds: body.experiment_ids,
          filter: body.filter,
          datasets: body.datasets.map(({ dataset_name: name, dataset_digest: digest }) => ({
            name,
            digest: optional(digest),
          })),
          orders: body.order_by.map(
            ({ field_name: field, ascending, dataset_name: name, dataset_digest: digest }) => ({
              field,
              isAscending: ascending,
              ...(name === undefined || name === '' ? {} : { dataset: { name, digest: optional(digest) } }),
            }),
          ),
          maxResults: body.max_results,
          pageToken: body.page_token,
        }),
    );
  };
}
