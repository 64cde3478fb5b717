import { AppError, Timestamp, Uuid } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import { decodeCursor, pageOf, pageQuery, toPage } from '@millrace/service-kit';
import Type from 'typebox';
import type { WebhookService } from './webhook.service.ts';
import { AttemptView, DeliveryDetail, DeliveryView, toDelivery, toDetail } from './webhook.view.ts';

const State = Type.Enum(['waiting', 'delivered', 'failed']);
const ById = Type.Object({ id: Uuid });
const ByEvent = Type.Object({ id: Uuid, eventId: Type.String({ minLength: 1, maxLength: 255 }) });
/** Longest span that one request sends again (ms). */
const REPLAY_SPAN_MAX_MS = 31 * 24 * 60 * 60_000;
const config = { scope: 'admin', isAuditedFirst: true } as const;
const tags = ['webhooks'];

/** What was sent to a webhook, and sending it again. */
export function deliveryRoutes(deps: { webhooks: WebhookService }): (app: HttpApp) => Promise<void> {
  const { webhooks } = deps;
  return async function registerDeliveryRoutes(app) {
    app.get(
      '/v1/webhooks/:id/deliveries',
      {
        config,
        schema: {
          operationId: 'listWebhookDeliveries',
          tags,
          params: ById,
          querystring: Type.Object(
            { ...pageQuery, state: Type.Optional(State) },
            { additionalProperties: false },
          ),
          response: { 200: pageOf(DeliveryView) },
        },
      },
      async (request) => {
        const { limit, cursor, state } = request.query;
        const after = decodeCursor(Type.Object({ seq: Type.Integer() }), cursor);
        const page = {
          limit: limit + 1,
          ...(after !== undefined && { beforeSeq: after.seq }),
          ...(state !== undefined && { state }),
        };
        const rows = await webhooks.deliveries(request.params.id, page, request.principal);
        return toPage(rows, limit, ({ seq }) => ({ seq }), toDelivery);
      },
    );
    app.get(
      '/v1/webhooks/:id/deliveries/:eventId',
      {
        config,
        schema: {
          operationId: 'getWebhookDelivery',
          tags,
          params: ByEvent,
          response: { 200: DeliveryDetail },
        },
      },
      async (request) => {
        const { id, eventId } = request.params;
        return toDetail(await webhooks.foundDelivery(id, eventId, request.principal));
      },
    );
    app.post(
      '/v1/webhooks/:id/deliveries/:eventId/replay',
      {
        config,
        schema: {
          operationId: 'replayWebhookDelivery',
          tags,
          params: ByEvent,
          response: { 200: DeliveryView },
        },
      },
      async (request) => {
        const { id, eventId } = request.params;
        return toDelivery(await webhooks.replay(id, eventId, request.principal));
      },
    );
    app.post(
      '/v1/webhooks/:id/replay',
      {
        config,
        schema: {
          operationId: 'replayWebhook',
          tags,
          params: ById,
          body: Type.Object(
            { since: Timestamp, until: Timestamp, state: Type.Optional(State) },
            { additionalProperties: false },
          ),
          response: { 200: Type.Object({ queued: Type.Integer() }) },
        },
      },
      async (request) => {
        const { state } = request.body;
        const [since, until] = [new Date(request.body.since), new Date(request.body.until)];
        const spanMs = until.getTime() - since.getTime();
        if (spanMs <= 0 || spanMs > REPLAY_SPAN_MAX_MS)
          throw new AppError('invalid_request', 'body.until must be after body.since, by at most 31 days.');
        const span = { since, until, ...(state !== undefined && { state }) };
        return { queued: await webhooks.replaySpan(request.params.id, span, request.principal) };
      },
    );
    app.post(
      '/v1/webhooks/:id/test',
      {
        config,
        schema: { operationId: 'testWebhook', tags, params: ById, response: { 200: AttemptView } },
      },
      async (request) => await webhooks.test(request.params.id, request.principal),
    );
  };
}
