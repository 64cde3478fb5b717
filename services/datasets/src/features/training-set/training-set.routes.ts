import { EntityKey, FEATURES_MAX, FeatureName, FeatureViewName, Name, Timestamp } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import { DatasetVersionView, toVersionView } from '../../datasets/dataset.view.ts';
import type { TrainingSetService } from './training-set.service.ts';

const PATH = '/v1/features/training-sets';
/** Rows that a request may bring itself; more come as a dataset version. */
const ROWS_MAX = 10_000;
const ROWS_BYTES_MAX = 4 * 1024 * 1024;
const VIEWS_MAX = 32;
const LABELS_MAX = 64;
const strict = { additionalProperties: false };
const tags = ['features'];

const Label = Type.Union([Type.String({ maxLength: 4_096 }), Type.Number(), Type.Boolean(), Type.Null()]);
const GivenRow = Type.Object(
  {
    time: Timestamp,
    keys: Type.Record(FeatureName, EntityKey, { description: 'Key of each entity by its name.' }),
    labels: Type.Optional(
      Type.Record(Type.String({ minLength: 1, maxLength: 255 }), Label, { maxProperties: LABELS_MAX }),
    ),
  },
  strict,
);
const Column = Type.String({ minLength: 1, maxLength: 255 });
const request = {
  views: Type.Array(
    Type.Object(
      {
        view: FeatureViewName,
        features: Type.Optional(
          Type.Array(FeatureName, { minItems: 1, maxItems: FEATURES_MAX, uniqueItems: true }),
        ),
      },
      strict,
    ),
    { minItems: 1, maxItems: VIEWS_MAX },
  ),
  rows: Type.Optional(Type.Array(GivenRow, { minItems: 1, maxItems: ROWS_MAX })),
  source: Type.Optional(
    Type.Object(
      {
        dataset: Name,
        version: Type.Optional(Type.Integer({ minimum: 1, maximum: 2_147_483_647 })),
        time: Column,
        keys: Type.Record(FeatureName, Column, { description: 'Column of each entity by its name.' }),
      },
      { ...strict, description: 'A version with rows: its newest one unless one is named.' },
    ),
  ),
  known: Type.Optional(
    Type.Union([Type.Literal('created'), Type.Literal('event')], {
      description:
        '`created` (default): only what was known at the time of the row; `event`: what had happened, with later corrections.',
    }),
  ),
  format: Type.Optional(Type.Union([Type.Literal('csv'), Type.Literal('ndjson')])),
};

export type TrainingSetRoutesOptions = { trainingSets: TrainingSetService };

/** `/v1/features/training-sets`: values of features as each row would have been given them at its time. */
export function trainingSetRoutes({
  trainingSets,
}: TrainingSetRoutesOptions): (app: HttpApp) => Promise<void> {
  return async function registerTrainingSetRoutes(app) {
    app.post(
      PATH,
      {
        config: { scope: 'data:write' },
        bodyLimit: ROWS_BYTES_MAX,
        schema: {
          operationId: 'createTrainingSet',
          tags,
          body: Type.Object({ into: Name, ...request }, strict),
          response: { 200: DatasetVersionView, 201: DatasetVersionView },
        },
      },
      async ({ principal, body }, reply) => {
        const made = await trainingSets.version(principal.tenant, body);
        return reply.code(made.isReused ? 200 : 201).send(toVersionView(made.version));
      },
    );

    app.post(
      `${PATH}/rows`,
      {
        config: { scope: 'data:read' },
        bodyLimit: ROWS_BYTES_MAX,
        schema: { operationId: 'getTrainingSetRows', tags, body: Type.Object(request, strict) },
      },
      async ({ principal, body }, reply) => {
        const stream = await trainingSets.stream(principal.tenant, body);
        const type = body.format === 'ndjson' ? 'application/x-ndjson' : 'text/csv';
        return reply.type(`${type}; charset=utf-8`).send(stream);
      },
    );
  };
}
