import type { Bus, DeadLetter } from '@millrace/bus';
import { dropDeadLetter, getDeadLetter, listDeadLetters, redriveDeadLetter } from '@millrace/bus';
import type { HttpApp } from '@millrace/service-kit';
import { PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX } from '@millrace/service-kit';
import Type from 'typebox';

const DeadLetterView = Type.Object({
  sequence: Type.Integer(),
  time: Type.String(),
  consumer: Type.String(),
  subject: Type.String(),
  messageId: Type.String(),
  code: Type.String(),
  message: Type.String(),
  deliveries: Type.Integer(),
  payload: Type.String(),
});
const BySequence = Type.Object({ sequence: Type.Integer({ minimum: 1 }) });
const config = { scope: 'operate', isAuditedFirst: true } as const;
const tags = ['dead letters'];

/** Messages that were given up: see them, send them again, or remove them. */
export function deadLetterRoutes(deps: { bus: Bus }): (app: HttpApp) => Promise<void> {
  const { bus } = deps;
  return async function registerDeadLetterRoutes(app) {
    app.get(
      '/v1/dead-letters',
      {
        config,
        schema: {
          operationId: 'listDeadLetters',
          tags,
          querystring: Type.Object(
            {
              limit: Type.Integer({ minimum: 1, maximum: PAGE_LIMIT_MAX, default: PAGE_LIMIT_DEFAULT }),
              after: Type.Integer({ minimum: 0, default: 0, description: 'sequence of the last one seen.' }),
            },
            { additionalProperties: false },
          ),
          response: { 200: Type.Object({ items: Type.Array(DeadLetterView) }) },
        },
      },
      async (request): Promise<{ items: DeadLetter[] }> => ({
        items: await listDeadLetters(bus, { afterSequence: request.query.after, limit: request.query.limit }),
      }),
    );
    app.get(
      '/v1/dead-letters/:sequence',
      {
        config,
        schema: { operationId: 'getDeadLetter', tags, params: BySequence, response: { 200: DeadLetterView } },
      },
      async (request) => await getDeadLetter(bus, request.params.sequence),
    );
    app.post(
      '/v1/dead-letters/:sequence/redrive',
      {
        config,
        schema: {
          operationId: 'redriveDeadLetter',
          tags,
          params: BySequence,
          response: { 204: Type.Null() },
        },
      },
      async (request, reply) => {
        await redriveDeadLetter(bus, request.params.sequence);
        return reply.code(204).send(null);
      },
    );
    app.delete(
      '/v1/dead-letters/:sequence',
      {
        config,
        schema: { operationId: 'dropDeadLetter', tags, params: BySequence, response: { 204: Type.Null() } },
      },
      async (request, reply) => {
        await dropDeadLetter(bus, request.params.sequence);
        return reply.code(204).send(null);
      },
    );
  };
}
