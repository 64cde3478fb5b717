import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import type { LogService } from './log.service.ts';
import { MetricField, metricOf, PairField, runFields, runIdIn } from './run-fields.ts';

const write = { scope: 'train' } as const;
/** MLflow's clients send at most 1 MB; 1,000 metrics with long keys and texts of 100 tags and parameters fit. */
const BATCH_BYTES_MAX = 4 * 1024 * 1024;

/** What MLflow's clients log to a run. */
export function logRoutes({ logs }: { logs: LogService }): (app: HttpApp) => Promise<void> {
  const base = '/2.0/mlflow/runs';
  return async function registerLogRoutes(app) {
    app.post(
      `${base}/log-metric`,
      { config: write, schema: { body: Type.Object({ ...runFields, ...MetricField.properties }) } },
      async ({ principal, body }) => {
        await logs.log(principal.tenant, runIdIn(body), { metrics: [metricOf(body)], isBatch: false });
        return {};
      },
    );
    const Pair = Type.Object({ ...runFields, ...PairField.properties });
    app.post(
      `${base}/log-parameter`,
      { config: write, schema: { body: Pair } },
      async ({ principal, body }) => {
        const params = [{ key: body.key, value: body.value }];
        await logs.log(principal.tenant, runIdIn(body), { params, isBatch: false });
        return {};
      },
    );
    app.post(`${base}/set-tag`, { config: write, schema: { body: Pair } }, async ({ principal, body }) => {
      const tags = [{ key: body.key, value: body.value }];
      await logs.log(principal.tenant, runIdIn(body), { tags, isBatch: false });
      return {};
    });
    app.post(
      `${base}/log-batch`,
      {
        config: write,
        bodyLimit: BATCH_BYTES_MAX,
        schema: {
          body: Type.Object({
            ...runFields,
            metrics: Type.Array(MetricField, { default: [] }),
            params: Type.Array(PairField, { default: [] }),
            tags: Type.Array(PairField, { default: [] }),
          }),
        },
      },
      async ({ principal, body }) => {
        const { params, tags } = body;
        const metrics = body.metrics.map(metricOf);
        await logs.log(principal.tenant, runIdIn(body), { metrics, params, tags, isBatch: true });
        return {};
      },
    );
  };
}
