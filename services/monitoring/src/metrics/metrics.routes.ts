import { AppError } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import { RELATIVE_ERROR } from '../rollups/latency-sketch.ts';
import { assertRange, QueryName, timeRange } from '../time-range.ts';
import type { MetricsService } from './metrics.service.ts';

const QUANTILES_DEFAULT = '0.5,0.95,0.99';
const QUANTILES_MAX = 16;

const NumberOrNull = Type.Union([Type.Number(), Type.Null()]);
const TextOrNull = Type.Union([Type.String(), Type.Null()]);
const TimeOrNull = Type.Union([Type.Integer(), Type.Null()]);
const averages = {
  count: Type.Integer(),
  avgLatency: Type.Union([Type.Number(), Type.Null()], { description: 'Milliseconds.' }),
  avgConfidence: NumberOrNull,
  accuracy: Type.Union([Type.Number(), Type.Null()], {
    description: 'Share of right ones among those whose feedback says `correct`; null without.',
  }),
};

const Answer = Type.Object({
  modelId: Type.String(),
  startTime: Type.Union([Type.Integer(), Type.Null()], {
    description: 'Of what the answer is, ends inclusive; null is without end.',
  }),
  endTime: TimeOrNull,
  isExact: Type.Boolean({
    description:
      'Whether that is what was asked for; else the ends were moved outwards to what is still kept.',
  }),
  latencyRelativeError: Type.Number({ description: 'A quantile is off by at most this share of its value.' }),
  items: Type.Array(
    Type.Object({
      version: TextOrNull,
      stage: TextOrNull,
      startTime: TimeOrNull,
      ...averages,
      judged: Type.Integer({ description: 'Predictions whose feedback says `correct`.' }),
      latency: Type.Array(
        Type.Object({ quantile: Type.Number(), ms: Type.Union([Type.Number(), Type.Null()]) }),
      ),
      sizeBytes: Type.Integer({ description: 'Inputs and outputs as they are stored, as JSON.' }),
    }),
  ),
});

function readQuantiles(text: string): number[] {
  const quantiles = text.split(',').map(Number);
  if (quantiles.length <= QUANTILES_MAX && quantiles.every((value) => value >= 0 && value <= 1))
    return quantiles;
  throw new AppError(
    'invalid_request',
    `querystring.quantiles takes up to ${QUANTILES_MAX} numbers from 0 to 1, such as ${QUANTILES_DEFAULT}.`,
  );
}

/** `GET /monitoring/metrics`, and the same by version, stage and time with quantiles of the latency. */
export function metricsRoutes(metrics: MetricsService): (app: HttpApp) => Promise<void> {
  return async (app) => {
    const config = { scope: 'monitor' } as const;
    app.get(
      '/monitoring/metrics',
      {
        config,
        schema: {
          operationId: 'getMetrics',
          tags: ['monitoring'],
          description: 'A model without predictions has count 0 and nulls.',
          querystring: Type.Object({ modelId: QueryName, ...timeRange }, { additionalProperties: false }),
          response: { 200: Type.Object({ modelId: Type.String(), ...averages }) },
        },
      },
      async ({ query, principal: { tenant } }) => {
        assertRange(query);
        const { modelId, ...range } = query;
        return { modelId, ...(await metrics.averages({ tenant, modelId }, range)) };
      },
    );
    app.get(
      '/v1/monitoring/metrics',
      {
        config,
        schema: {
          operationId: 'queryMetrics',
          tags: ['monitoring'],
          description:
            'Answered from sums by minute, hour and day: the time it takes does not grow with the predictions. With `step`, one item for each minute, hour or day that has predictions, whole ones at both ends.',
          querystring: Type.Object(
            {
              modelId: QueryName,
              version: Type.Optional(QueryName),
              stage: Type.Optional(QueryName),
              ...timeRange,
              groupBy: Type.Optional(Type.Union([Type.Literal('version'), Type.Literal('stage')])),
              step: Type.Optional(
                Type.Union([Type.Literal('minute'), Type.Literal('hour'), Type.Literal('day')]),
              ),
              quantiles: Type.String({
                default: QUANTILES_DEFAULT,
                maxLength: 255,
                pattern: '^[0-9.]+(,[0-9.]+)*$',
                description: 'Numbers from 0 to 1 with commas between them.',
              }),
            },
            { additionalProperties: false },
          ),
          response: { 200: Answer },
        },
      },
      async ({ query, principal: { tenant } }) => {
        assertRange(query);
        const quantiles = readQuantiles(query.quantiles);
        const answer = await metrics.answer({ ...query, tenant, quantiles });
        return { modelId: query.modelId, latencyRelativeError: RELATIVE_ERROR, ...answer };
      },
    );
  };
}
