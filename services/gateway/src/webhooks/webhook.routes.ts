import { Uuid } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import { pageOf, pageQuery } from '@millrace/service-kit';
import Type from 'typebox';
import { pageByCreation } from '../created-page.ts';
import { TenantId } from '../tenants/tenant.routes.ts';
import { TYPE_PATTERN } from './event-types.ts';
import type { WebhookService } from './webhook.service.ts';
import { toWebhook, WebhookView } from './webhook.view.ts';

const Types = Type.Array(Type.String({ pattern: TYPE_PATTERN }), {
  minItems: 1,
  maxItems: 20,
  description: 'Names of events such as model-version.registered; * stands for any characters.',
});
const changeable = {
  url: Type.String({ minLength: 1, maxLength: 2_048 }),
  types: Types,
  note: Type.Optional(Type.String({ maxLength: 500 })),
};
const ById = Type.Object({ id: Uuid });
const WithSecret = Type.Object({
  ...WebhookView.properties,
  secret: Type.String({ description: 'Signs what is sent; shown only now.' }),
});
const OVERLAP_SECONDS_MAX = 7 * 24 * 60 * 60;
const config = { scope: 'admin', isAuditedFirst: true } as const;
const tags = ['webhooks'];

/** Webhooks of the caller's tenant. */
export function webhookRoutes(deps: { webhooks: WebhookService }): (app: HttpApp) => Promise<void> {
  const { webhooks } = deps;
  return async function registerWebhookRoutes(app) {
    app.post(
      '/v1/webhooks',
      {
        config,
        schema: {
          operationId: 'createWebhook',
          tags,
          body: Type.Object(
            { ...changeable, tenant: Type.Optional(TenantId) },
            { additionalProperties: false },
          ),
          response: { 201: WithSecret },
        },
      },
      async (request, reply) => {
        const { row, secret } = await webhooks.create(request.body, request.principal);
        return reply
          .code(201)
          .header('cache-control', 'no-store')
          .send({ ...toWebhook(row), secret });
      },
    );
    app.get(
      '/v1/webhooks',
      {
        config,
        schema: {
          operationId: 'listWebhooks',
          tags,
          querystring: Type.Object(
            { ...pageQuery, tenant: Type.Optional(TenantId) },
            { additionalProperties: false },
          ),
          response: { 200: pageOf(WebhookView) },
        },
      },
      async (request) => {
        const { tenant, ...query } = request.query;
        const list = (page: Parameters<WebhookService['list']>[0]) =>
          webhooks.list({ ...page, ...(tenant !== undefined && { tenant }) }, request.principal);
        return await pageByCreation(query, list, toWebhook);
      },
    );
    app.get(
      '/v1/webhooks/:id',
      { config, schema: { operationId: 'getWebhook', tags, params: ById, response: { 200: WebhookView } } },
      async (request) => toWebhook(await webhooks.found(request.params.id, request.principal)),
    );
    app.patch(
      '/v1/webhooks/:id',
      {
        config,
        schema: {
          operationId: 'changeWebhook',
          tags,
          params: ById,
          body: Type.Object(
            { ...Type.Partial(Type.Object(changeable)).properties, enabled: Type.Optional(Type.Boolean()) },
            { additionalProperties: false, minProperties: 1 },
          ),
          response: { 200: WebhookView },
        },
      },
      async (request) => toWebhook(await webhooks.change(request.params.id, request.body, request.principal)),
    );
    app.delete(
      '/v1/webhooks/:id',
      {
        config,
        schema: { operationId: 'deleteWebhook', tags, params: ById, response: { 204: Type.Null() } },
      },
      async (request, reply) => {
        await webhooks.remove(request.params.id, request.principal);
        return reply.code(204).send(null);
      },
    );
    app.post(
      '/v1/webhooks/:id/rotate-secret',
      {
        config,
        schema: {
          operationId: 'rotateWebhookSecret',
          tags,
          params: ById,
          body: Type.Object(
            {
              overlapSeconds: Type.Integer({
                minimum: 0,
                maximum: OVERLAP_SECONDS_MAX,
                default: 24 * 60 * 60,
                description: 'How long the old secret goes on signing beside the new one.',
              }),
            },
            { additionalProperties: false },
          ),
          response: { 200: WithSecret },
        },
      },
      async (request, reply) => {
        const { id } = request.params;
        const { row, secret } = await webhooks.rotateSecret(
          id,
          request.body.overlapSeconds,
          request.principal,
        );
        return reply.header('cache-control', 'no-store').send({ ...toWebhook(row), secret });
      },
    );
  };
}
