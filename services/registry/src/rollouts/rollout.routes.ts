import { RolloutSpec } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { HttpApp } from '@millrace/service-kit';
import { decodeCursor, pageOf, pageQuery, toPage } from '@millrace/service-kit';
import Type from 'typebox';
import type { RolloutRepository } from './rollout.repository.ts';
import type { RolloutService } from './rollout.service.ts';
import { etagOf } from './rollout.service.ts';
import { RolloutStatus, RolloutView, toRolloutStatus, toRolloutView } from './rollout.view.ts';
import type { RolloutMonitor } from './rollout-monitor.ts';

const PATH = '/v1/rollouts/:model';
const ETAG_LENGTH_MAX = 1_024;
const Params = Type.Object({ model: Type.String() });
const Etag = Type.Optional(Type.String({ minLength: 1, maxLength: ETAG_LENGTH_MAX }));
const Conditions = Type.Object({ 'if-match': Etag, 'if-none-match': Type.Optional(Type.Literal('*')) });
const tags = ['rollouts'];
const read = { scope: 'models:read' } as const;
const write = { scope: 'models:write' } as const;

export type RolloutRoutesOptions = {
  database: Database;
  rollouts: RolloutRepository;
  rolloutService: RolloutService;
  monitor: RolloutMonitor;
};

/** `/v1/rollouts`: how requests that name no version are divided among the versions of a model. */
export function rolloutRoutes(options: RolloutRoutesOptions): (app: HttpApp) => Promise<void> {
  const { database, rollouts, rolloutService: service, monitor } = options;
  return async function registerRolloutRoutes(app) {
    app.get(
      '/v1/rollouts',
      {
        config: read,
        schema: {
          operationId: 'listRollouts',
          tags,
          querystring: Type.Object(pageQuery, { additionalProperties: false }),
          response: { 200: pageOf(RolloutView) },
        },
      },
      async ({ principal, query }) => {
        const { limit, cursor } = query;
        const after = decodeCursor(Type.Object({ model: Type.String() }), cursor);
        const rows = await rollouts.list(database.db, principal.tenant, {
          limit: limit + 1,
          ...(after !== undefined && { afterName: after.model }),
        });
        return toPage(
          rows,
          limit,
          ({ model }) => ({ model }),
          ({ model, rollout }) => toRolloutView(model, rollout),
        );
      },
    );

    app.get(
      PATH,
      {
        config: read,
        schema: { operationId: 'getRollout', tags, params: Params, response: { 200: RolloutView } },
      },
      async ({ principal, params }, reply) => {
        const { model, rollout } = await service.get(principal.tenant, params.model);
        void reply.header('etag', etagOf(rollout.revision));
        return toRolloutView(model.name, rollout);
      },
    );

    app.get(
      `${PATH}/status`,
      {
        config: read,
        schema: { operationId: 'getRolloutStatus', tags, params: Params, response: { 200: RolloutStatus } },
      },
      async ({ principal, params }) => {
        const { model, rollout } = await service.get(principal.tenant, params.model);
        return toRolloutStatus(model.name, rollout, monitor.windowOf(rollout));
      },
    );

    app.put(
      PATH,
      {
        config: write,
        schema: {
          operationId: 'putRollout',
          tags,
          params: Params,
          headers: Conditions,
          body: RolloutSpec,
          response: { 200: RolloutView, 201: RolloutView },
        },
      },
      async ({ principal, params, headers, body }, reply) => {
        const conditions = { ifMatch: headers['if-match'], ifNoneMatch: headers['if-none-match'] };
        const done = await service.put(principal.tenant, params.model, body, conditions, principal.id);
        void reply.code(done.isNew ? 201 : 200).header('etag', etagOf(done.rollout.revision));
        return toRolloutView(done.model.name, done.rollout);
      },
    );

    app.delete(
      PATH,
      {
        config: write,
        schema: {
          operationId: 'deleteRollout',
          tags,
          params: Params,
          headers: Conditions,
          response: { 204: Type.Null() },
        },
      },
      async ({ principal, params, headers }, reply) => {
        await service.remove(principal.tenant, params.model, { ifMatch: headers['if-match'] }, principal.id);
        return reply.code(204).send(null);
      },
    );
  };
}
