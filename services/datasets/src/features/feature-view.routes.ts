import { FeatureName, FeatureViewChange, FeatureViewName, FeatureViewSpec } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { HttpApp } from '@millrace/service-kit';
import { decodeCursor, pageOf, pageQuery, toPage } from '@millrace/service-kit';
import Type from 'typebox';
import type { FeatureViewRepository } from './feature-view.repository.ts';
import type { FeatureViewService } from './feature-view.service.ts';
import { etagOf } from './feature-view.service.ts';
import { FeatureView, toFeatureView } from './feature-view.view.ts';

const PATH = '/v1/features/views';
const ONE = `${PATH}/:view`;
const ETAG_LENGTH_MAX = 1_024;
const Params = Type.Object({ view: FeatureViewName });
const Conditions = Type.Object({
  'if-match': Type.Optional(Type.String({ minLength: 1, maxLength: ETAG_LENGTH_MAX })),
});
const tags = ['features'];
const read = { scope: 'data:read' } as const;
const write = { scope: 'data:write' } as const;

export type FeatureViewRoutesOptions = {
  database: Database;
  featureViews: FeatureViewRepository;
  featureViewService: FeatureViewService;
};

/** `/v1/features/views`: which features there are, of which entity, and how long they count. */
export function featureViewRoutes(options: FeatureViewRoutesOptions): (app: HttpApp) => Promise<void> {
  const { database, featureViews, featureViewService: service } = options;
  return async function registerFeatureViewRoutes(app) {
    app.post(
      PATH,
      {
        config: write,
        schema: {
          operationId: 'createFeatureView',
          tags,
          body: FeatureViewSpec,
          response: { 200: FeatureView, 201: FeatureView },
        },
      },
      async ({ principal, body }, reply) => {
        const { view, isNew } = await service.create(principal, body);
        void reply.code(isNew ? 201 : 200).header('etag', etagOf(view));
        return toFeatureView(view);
      },
    );

    app.get(
      PATH,
      {
        config: read,
        schema: {
          operationId: 'listFeatureViews',
          tags,
          querystring: Type.Object(
            { ...pageQuery, entity: Type.Optional(FeatureName) },
            { additionalProperties: false },
          ),
          response: { 200: pageOf(FeatureView) },
        },
      },
      async ({ principal, query }) => {
        const { limit, cursor, entity } = query;
        const after = decodeCursor(Type.Object({ name: FeatureViewName }), cursor);
        const rows = await featureViews.list(database.db, principal.tenant, {
          limit: limit + 1,
          entity,
          ...(after !== undefined && { afterName: after.name }),
        });
        return toPage(rows, limit, ({ name }) => ({ name }), toFeatureView);
      },
    );

    app.get(
      ONE,
      {
        config: read,
        schema: { operationId: 'getFeatureView', tags, params: Params, response: { 200: FeatureView } },
      },
      async ({ principal, params }, reply) => {
        const view = await service.get(principal.tenant, params.view);
        void reply.header('etag', etagOf(view));
        return toFeatureView(view);
      },
    );

    app.patch(
      ONE,
      {
        config: write,
        schema: {
          operationId: 'updateFeatureView',
          tags,
          params: Params,
          headers: Conditions,
          body: FeatureViewChange,
          response: { 200: FeatureView },
        },
      },
      async ({ principal, params, headers, body }, reply) => {
        const view = await service.update(principal, params.view, body, headers['if-match']);
        void reply.header('etag', etagOf(view));
        return toFeatureView(view);
      },
    );

    app.delete(
      ONE,
      {
        config: write,
        schema: {
          operationId: 'deleteFeatureView',
          tags,
          params: Params,
          headers: Conditions,
          response: { 204: Type.Null() },
        },
      },
      async ({ principal, params, headers }, reply) => {
        await service.remove(principal, params.view, headers['if-match']);
        return reply.code(204).send(null);
      },
    );
  };
}
