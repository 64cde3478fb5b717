import type { HttpApp } from '@millrace/service-kit';
import type { FastifyReply } from 'fastify';
import Type from 'typebox';
import { Int64, int64 } from '../mlflow/proto-json.ts';
import type { RunService } from './run.service.ts';
import type { RunStatus } from './run.table.ts';
import { runStatuses } from './run.table.ts';
import { PairField, runFields, runIdIn } from './run-fields.ts';
import { ViewTypeField, viewTypeOf } from './view-type.ts';

const read = { scope: 'models:read' } as const;
const write = { scope: 'train' } as const;
const PAGE_DEFAULT = 1_000;
const PAGE_MAX = 50_000;
const EXPERIMENTS_MAX = 1_000;
const HISTORY_PAGE_MAX = 25_000;
const SAMPLE_RUNS_MAX = 100;
const SAMPLE_MAX = 2_500;
const STEP_MAX = Number.MAX_SAFE_INTEGER;

const ByRun = Type.Object(runFields);
/** Statuses by name, or by the number of the name. */
const Status = Type.Union([
  Type.Unsafe<RunStatus>(Type.String({ enum: [...runStatuses] })),
  Type.Integer({ minimum: 1, maximum: runStatuses.length }),
]);
const statusOf = (status: RunStatus | number | undefined): RunStatus | undefined =>
  typeof status === 'number' ? runStatuses[status - 1] : status;

/** Sends what is JSON already. */
const sendJson = (reply: FastifyReply, json: string): FastifyReply =>
  reply.header('content-type', 'application/json; charset=utf-8').send(json);

/** MLflow's runs, but for what they log. */
export function runRoutes({ runs }: { runs: RunService }): (app: HttpApp) => Promise<void> {
  const base = '/2.0/mlflow/runs';
  return async function registerRunRoutes(app) {
    app.post(
      `${base}/create`,
      {
        config: write,
        schema: {
          body: Type.Object({
            experiment_id: Type.String({ default: '0' }),
            user_id: Type.String({ default: '' }),
            start_time: Type.Optional(Int64),
            run_name: Type.String({ default: '' }),
            tags: Type.Array(PairField, { default: [] }),
          }),
        },
      },
      async ({ principal, body }, reply) => {
        const run = await runs.create(principal.tenant, {
          experimentId: body.experiment_id,
          userId: body.user_id || principal.id,
          startMs: body.start_time === undefined ? undefined : int64(body.start_time, 'start_time'),
          name: body.run_name,
          tags: body.tags,
        });
        return sendJson(reply, `{"run":${run}}`);
      },
    );
    app.get(
      `${base}/get`,
      { config: read, schema: { querystring: ByRun } },
      async ({ principal, query }, reply) =>
        sendJson(reply, `{"run":${await runs.get(principal.tenant, runIdIn(query))}}`),
    );
    app.post(
      `${base}/update`,
      {
        config: write,
        schema: {
          body: Type.Object({
            ...runFields,
            status: Type.Optional(Status),
            end_time: Type.Optional(Int64),
            run_name: Type.Optional(Type.String()),
          }),
        },
      },
      async ({ principal, body }) => ({
        run_info: await runs.update(principal.tenant, runIdIn(body), {
          status: statusOf(body.status),
          endMs: body.end_time === undefined ? undefined : int64(body.end_time, 'end_time'),
          name: body.run_name,
        }),
      }),
    );
    app.post(`${base}/delete`, { config: write, schema: { body: ByRun } }, async ({ principal, body }) => {
      await runs.remove(principal.tenant, runIdIn(body));
      return {};
    });
    app.post(`${base}/restore`, { config: write, schema: { body: ByRun } }, async ({ principal, body }) => {
      await runs.restore(principal.tenant, runIdIn(body));
      return {};
    });
    app.post(
      `${base}/delete-tag`,
      { config: write, schema: { body: Type.Object({ ...runFields, key: Type.String() }) } },
      async ({ principal, body }) => {
        await runs.removeTag(principal.tenant, runIdIn(body), body.key);
        return {};
      },
    );
    app.post(
      `${base}/search`,
      {
        config: read,
        schema: {
          body: Type.Object({
            experiment_ids: Type.Array(Type.String(), { default: [], maxItems: EXPERIMENTS_MAX }),
            filter: Type.String({ default: '' }),
            order_by: Type.Array(Type.String(), { default: [] }),
            run_view_type: Type.Optional(ViewTypeField),
            max_results: Type.Integer({ minimum: 1, maximum: PAGE_MAX, default: PAGE_DEFAULT }),
            page_token: Type.Optional(Type.String()),
          }),
        },
      },
      async ({ principal, body }, reply) =>
        sendJson(
          reply,
          await runs.search(principal.tenant, {
            experimentIds: body.experiment_ids,
            filter: body.filter,
            orderBy: body.order_by,
            viewType: viewTypeOf(body.run_view_type),
            maxResults: body.max_results,
            pageToken: body.page_token,
          }),
        ),
    );
    app.get(
      '/2.0/mlflow/metrics/get-history',
      {
        config: read,
        schema: {
          querystring: Type.Object({
            ...runFields,
            metric_key: Type.String(),
            max_results: Type.Integer({ minimum: 1, maximum: HISTORY_PAGE_MAX, default: HISTORY_PAGE_MAX }),
            page_token: Type.Optional(Type.String()),
          }),
        },
      },
      async ({ principal, query }) =>
        await runs.history(principal.tenant, {
          runId: runIdIn(query),
          key: query.metric_key,
          maxResults: query.max_results,
          pageToken: query.page_token,
        }),
    );
    app.get(
      '/2.0/mlflow/metrics/get-history-bulk-interval',
      {
        config: read,
        schema: {
          querystring: Type.Object({
            run_ids: Type.Array(Type.String(), { minItems: 1, maxItems: SAMPLE_RUNS_MAX }),
            metric_key: Type.String(),
            start_step: Type.Integer({ default: -STEP_MAX }),
            end_step: Type.Integer({ default: STEP_MAX }),
            max_results: Type.Integer({ minimum: 1, maximum: SAMPLE_MAX, default: SAMPLE_MAX }),
          }),
        },
      },
      async ({ principal, query }) =>
        await runs.historySample(principal.tenant, {
          runIds: query.run_ids,
          key: query.metric_key,
          from: query.start_step,
          to: query.end_step,
          max: query.max_results,
        }),
    );
  };
}
