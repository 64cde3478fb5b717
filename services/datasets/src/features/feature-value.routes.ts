import { AppError, EntityKey, FEATURE_ROWS_MAX, FeatureRow, FeatureViewName } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import type { FeatureStore } from './feature-store.ts';
import { FeatureValues } from './feature-values.ts';

const VIEW = '/v1/features/:view';
const ONE = `${VIEW}/:entity`;
/** A thousand rows of some kilobytes. */
const ROWS_BYTES_MAX = 4 * 1024 * 1024;
/** Entities of one read whose keys are in the body. */
const ENTITIES_MAX = 1_000;
const strict = { additionalProperties: false };
const Key = Type.String({ minLength: 1, maxLength: 255 });
const ViewParams = Type.Object({ view: FeatureViewName });
const Params = Type.Object({ view: FeatureViewName, entity: Key });
const { eventTime, createdTime, values } = FeatureRow.properties;
const CreatedTimes = Type.Optional(
  Type.Union([Type.Literal('now'), Type.Literal('event')], {
    description:
      'When rows without a createdTime became known; `event`, the time of their event, is for data of the past.',
  }),
);
const Written = Type.Object({
  rows: Type.Integer({ description: 'Rows that were sent.' }),
  added: Type.Integer({ description: 'Rows that say something new of their event.' }),
  newest: Type.Integer({ description: 'Entities whose newest row is another now.' }),
});
/** Writes answers whose values have any form; the writer of a schema would look for the form of each first. */
const asJson = (answer: unknown): string => JSON.stringify(answer);
const tags = ['features'];
const read = { scope: 'data:read' } as const;
const write = { scope: 'data:write' } as const;

export type FeatureValueRoutesOptions = { featureStore: FeatureStore };

/** `/v1/features/{view}`: values of entities, one or many at once. */
export function featureValueRoutes({
  featureStore: store,
}: FeatureValueRoutesOptions): (app: HttpApp) => Promise<void> {
  return async function registerFeatureValueRoutes(app) {
    app.put(
      VIEW,
      {
        config: write,
        bodyLimit: ROWS_BYTES_MAX,
        schema: {
          operationId: 'putFeatureRows',
          tags,
          params: ViewParams,
          body: Type.Object(
            {
              rows: Type.Array(FeatureRow, { minItems: 1, maxItems: FEATURE_ROWS_MAX }),
              createdTimes: CreatedTimes,
            },
            strict,
          ),
          response: { 200: Written },
        },
      },
      async ({ principal, params, body }) =>
        store.write(principal.tenant, params.view, body.rows, body.createdTimes),
    );

    app.put(
      ONE,
      {
        config: write,
        schema: {
          operationId: 'putFeatureRow',
          tags,
          params: Params,
          body: Type.Object({ eventTime, createdTime, values }, strict),
          response: { 200: Written },
        },
      },
      async ({ principal, params, body }) =>
        store.write(principal.tenant, params.view, [{ ...body, entity: params.entity }]),
    );

    app.get(
      ONE,
      {
        config: read,
        schema: {
          operationId: 'getFeatureValues',
          tags,
          params: Params,
          response: { 200: FeatureValues },
        },
      },
      async ({ principal, params }, reply) => {
        void reply.serializer(asJson);
        const { view, entity } = params;
        const held = store.peek(principal.tenant, view, entity);
        if (held !== undefined) return held;
        const [values] = await store.get(principal.tenant, view, [entity]);
        return values as FeatureValues;
      },
    );

    app.get(
      VIEW,
      {
        config: read,
        schema: {
          operationId: 'getFeatureValuesOf',
          tags,
          params: ViewParams,
          querystring: Type.Object(
            {
              entity: Type.Array(Key, {
                minItems: 1,
                maxItems: 100,
                description: 'Keys of entities: the parameter once for each.',
              }),
            },
            strict,
          ),
          response: { 200: Type.Object({ items: Type.Array(FeatureValues) }) },
        },
      },
      async ({ principal, params, query }, reply) => {
        void reply.serializer(asJson);
        return { items: await store.get(principal.tenant, params.view, query.entity) };
      },
    );

    app.post(
      `${VIEW}/lookup`,
      {
        config: read,
        schema: {
          operationId: 'lookUpFeatureValues',
          tags,
          params: ViewParams,
          body: Type.Object(
            { entities: Type.Array(EntityKey, { minItems: 1, maxItems: ENTITIES_MAX }) },
            strict,
          ),
          response: { 200: Type.Object({ items: Type.Array(FeatureValues) }) },
        },
      },
      async ({ principal, params, body }, reply) => {
        void reply.serializer(asJson);
        return { items: await store.get(principal.tenant, params.view, body.entities) };
      },
    );

    app.delete(
      ONE,
      {
        config: write,
        schema: {
          operationId: 'deleteFeatureEntity',
          tags,
          params: Params,
          response: { 204: Type.Null() },
        },
      },
      async ({ principal, params }, reply) => {
        if (!(await store.forget(principal.tenant, params.view, params.entity)))
          throw new AppError('feature_entity_not_found', `The view has no rows of ${params.entity}.`);
        return reply.code(204).send(null);
      },
    );
  };
}
