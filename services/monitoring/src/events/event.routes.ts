import { AppError, Uuid } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import { decodeCursor, pageOf, pageQuery, toPage } from '@millrace/service-kit';
import Type from 'typebox';
import { assertRange, QueryName, timeRange } from '../time-range.ts';
import type { EventRepository } from './event.repository.ts';
import { DetailedEvent, Event, toDetailedEvent, toEvent } from './event.view.ts';
import { EventCursor, placeOfEvent } from './event-cursor.ts';

const LIMIT_DEFAULT = 100;
const LIMIT_MAX = 1_000;

/** `GET /monitoring/events`, pages of predictions, one of them, and what came in over the bus. */
export function eventRoutes(repository: EventRepository): (app: HttpApp) => Promise<void> {
  return async (app) => {
    const tags = ['monitoring'];
    const config = { scope: 'monitor' } as const;
    app.get(
      '/monitoring/events',
      {
        config,
        schema: {
          operationId: 'listEvents',
          tags,
          description: 'Newest first.',
          querystring: Type.Object(
            {
              modelId: Type.Optional(QueryName),
              userId: Type.Optional(QueryName),
              limit: Type.Integer({ minimum: 1, maximum: LIMIT_MAX, default: LIMIT_DEFAULT }),
              ...timeRange,
            },
            { additionalProperties: false },
          ),
          response: { 200: Type.Object({ events: Type.Array(Event), count: Type.Integer() }) },
        },
      },
      async (request) => {
        const { limit, ...filter } = request.query;
        assertRange(filter);
        const { tenant } = request.principal;
        const events = (await repository.list({ tenant, ...filter }, limit)).map(toEvent);
        return { events, count: events.length };
      },
    );
    app.get(
      '/v1/monitoring/events',
      {
        config,
        schema: {
          operationId: 'pageEvents',
          tags,
          description:
            'All predictions of a filter, a page at a time, newest first. A page is found by its place, so that the last costs as much as the first, and predictions that come meanwhile move nothing.',
          querystring: Type.Object(
            {
              modelId: Type.Optional(QueryName),
              version: Type.Optional(QueryName),
              userId: Type.Optional(QueryName),
              ...timeRange,
              ...pageQuery,
            },
            { additionalProperties: false },
          ),
          response: { 200: pageOf(DetailedEvent) },
        },
      },
      async (request) => {
        const { limit, cursor, ...filter } = request.query;
        assertRange(filter);
        const { tenant } = request.principal;
        const rows = await repository.list(
          { tenant, ...filter },
          limit + 1,
          decodeCursor(EventCursor, cursor),
        );
        return toPage(rows, limit, placeOfEvent, toDetailedEvent);
      },
    );
    app.get(
      '/v1/monitoring/events/:inferenceId',
      {
        config,
        schema: {
          operationId: 'getEvent',
          tags,
          params: Type.Object({ inferenceId: Uuid }),
          response: { 200: Event },
        },
      },
      async (request) => {
        const event = await repository.find(request.principal.tenant, request.params.inferenceId);
        if (event !== undefined) return toEvent(event);
        throw new AppError(
          'inference_not_found',
          'No prediction has this id; it may still be on its way, or past the retention.',
        );
      },
    );
    app.get(
      '/v1/monitoring/ingest',
      { config, schema: { operationId: 'getIngest', tags } },
      async ({ principal }) => ({ items: await repository.ingest(principal.tenant) }),
    );
  };
}
