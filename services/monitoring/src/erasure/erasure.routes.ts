import { Timestamp, Uuid } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import { decodeCursor, pageOf, pageQuery, toPage } from '@millrace/service-kit';
import Type from 'typebox';
import type { EventRepository } from '../events/event.repository.ts';
import { DetailedEvent, toDetailedEvent } from '../events/event.view.ts';
import { EventCursor, placeOfEvent } from '../events/event-cursor.ts';
import { QueryName } from '../time-range.ts';
import type { Erasure, ErasureRepository } from './erasure.repository.ts';

/** Steps of one request, which removes up to 100,000 predictions within the time that the gateway waits. */
const CHUNKS_MAX = 20;

const ErasureView = Type.Object({
  id: Type.String(),
  userDigest: Type.String({ description: 'SHA-256 of the JSON text of [tenant, user].' }),
  principal: Type.String(),
  predictions: Type.Integer(),
  feedback: Type.Integer(),
  erasedAt: Type.String(),
});
const ErasureCursor = Type.Tuple([Timestamp, Uuid]);

const UserEvent = Type.Object({
  ...DetailedEvent.properties,
  feedback: Type.Array(
    Type.Object({
      outcome: Type.Unknown(),
      correct: Type.Union([Type.Boolean(), Type.Null()]),
      receivedAt: Type.String(),
    }),
    { description: 'All of it, the corrected ones too, oldest first.' },
  ),
});

const toView = ({ erasedAt, ...erasure }: Erasure) => ({ ...erasure, erasedAt: erasedAt.toISOString() });

/** A user's data: what is kept of it, and its erasure. */
export function erasureRoutes(
  erasures: ErasureRepository,
  events: EventRepository,
): (app: HttpApp) => Promise<void> {
  return async (app) => {
    const params = Type.Object({ userId: QueryName });
    const tags = ['monitoring'];
    app.get(
      '/v1/monitoring/users/:userId/data',
      {
        config: { scope: 'monitor' },
        schema: {
          operationId: 'exportUserData',
          tags,
          description: 'Every prediction kept of a user with its feedback, newest first, a page at a time.',
          params,
          querystring: Type.Object(pageQuery, { additionalProperties: false }),
          response: { 200: pageOf(UserEvent) },
        },
      },
      async ({ params: { userId }, query: { limit, cursor }, principal: { tenant } }) => {
        const after = decodeCursor(EventCursor, cursor);
        const rows = await events.list({ tenant, userId }, limit + 1, after);
        const said = await erasures.feedbackOf(
          tenant,
          rows.map(({ id }) => id),
        );
        const byId = Map.groupBy(said, ({ inferenceId }) => inferenceId);
        return toPage(rows, limit, placeOfEvent, (row) => ({
          ...toDetailedEvent(row),
          feedback: (byId.get(row.id) ?? []).map(({ outcome, correct, receivedAt }) => ({
            outcome,
            correct,
            receivedAt: receivedAt.toISOString(),
          })),
        }));
      },
    );
    app.delete(
      '/v1/monitoring/users/:userId/data',
      {
        config: { scope: 'admin' },
        schema: {
          operationId: 'eraseUserData',
          tags,
          description:
            'Removes predictions and feedback of a user, and keeps who did it. Predictions made before that come later are not stored either. Sums by minute, hour and day, which name nobody, stay. Asked again, it removes what came since.',
          params,
          response: {
            200: Type.Object({
              ...ErasureView.properties,
              isComplete: Type.Boolean({
                description: 'False for a user with very many predictions: ask again until it is true.',
              }),
            }),
          },
        },
      },
      async ({ params: { userId }, principal: { tenant, id: principal } }) => {
        const { isComplete, ...erasure } = await erasures.erase({ tenant, userId, principal }, CHUNKS_MAX);
        return { ...toView(erasure), isComplete };
      },
    );
    app.get(
      '/v1/monitoring/erasures',
      {
        config: { scope: 'admin' },
        schema: {
          operationId: 'listErasures',
          tags,
          description: 'Whose data was erased, when and by whom, newest first.',
          querystring: Type.Object(pageQuery, { additionalProperties: false }),
          response: { 200: pageOf(ErasureView) },
        },
      },
      async ({ query: { limit, cursor }, principal: { tenant } }) => {
        const rows = await erasures.list(tenant, limit + 1, decodeCursor(ErasureCursor, cursor));
        return toPage(rows, limit, ({ erasedAt, id }) => [erasedAt.toISOString(), id], toView);
      },
    );
  };
}
