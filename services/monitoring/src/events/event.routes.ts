import { AppError, Uuid } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import type { EventRepository, StoredEvent } from './event.repository.ts';
import { tensorsAsJson } from './tensor-json.ts';

/** The last millisecond of a JavaScript date. */
const TIME_MAX = 8_640_000_000_000_000;
const LIMIT_DEFAULT = 100;
const LIMIT_MAX = 1_000;

const name = Type.String({ minLength: 1, maxLength: 255 });
const time = Type.Integer({ minimum: 0, maximum: TIME_MAX, description: 'Milliseconds since 1970.' });
const NumberOrNull = Type.Union([Type.Number(), Type.Null()]);
const range = { startTime: Type.Optional(time), endTime: Type.Optional(time) };

const Event = Type.Object({
  id: Type.String(),
  timestamp: Type.Integer(),
  modelId: Type.String(),
  modelVersion: Type.String(),
  framework: Type.String(),
  featuresIn: Type.String({ description: 'JSON.' }),
  prediction: Type.String({ description: 'JSON.' }),
  confidence: NumberOrNull,
  latencyMs: Type.Number(),
  correct: Type.Union([Type.Boolean(), Type.Null()]),
});

function toEvent(row: StoredEvent) {
  return {
    id: row.id,
    timestamp: row.at.getTime(),
    modelId: row.model,
    modelVersion: row.version,
    framework: row.framework,
    featuresIn: tensorsAsJson(row.inputs),
    prediction: tensorsAsJson(row.outputs),
    confidence: row.confidence,
    latencyMs: row.latencyMs,
    correct: row.correct,
  };
}

function assertRange(query: { startTime?: number; endTime?: number }): void {
  if (query.startTime !== undefined && query.endTime !== undefined && query.startTime > query.endTime) {
    throw new AppError('invalid_request', 'querystring.startTime is after endTime.');
  }
}

/** `GET /monitoring/events` and `GET /monitoring/metrics`, and what came in over the bus. */
export function eventRoutes(repository: EventRepository): (app: HttpApp) => Promise<void> {
  return async (app) => {
    const tags = ['monitoring'];
    app.get(
      '/monitoring/events',
      {
        config: { scope: 'monitor' },
        schema: {
          operationId: 'listEvents',
          tags,
          description: 'Newest first.',
          querystring: Type.Object(
            {
              modelId: Type.Optional(name),
              userId: Type.Optional(name),
              limit: Type.Integer({ minimum: 1, maximum: LIMIT_MAX, default: LIMIT_DEFAULT }),
              ...range,
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
      '/v1/monitoring/events/:inferenceId',
      {
        config: { scope: 'monitor' },
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
      '/monitoring/metrics',
      {
        config: { scope: 'monitor' },
        schema: {
          operationId: 'getMetrics',
          tags,
          description: 'A model without predictions has count 0 and nulls.',
          querystring: Type.Object({ modelId: name, ...range }, { additionalProperties: false }),
          response: {
            200: Type.Object({
              modelId: Type.String(),
              count: Type.Integer(),
              avgLatency: NumberOrNull,
              avgConfidence: NumberOrNull,
              accuracy: Type.Union([Type.Number(), Type.Null()], { description: 'Null without feedback.' }),
            }),
          },
        },
      },
      async (request) => {
        assertRange(request.query);
        const { tenant } = request.principal;
        const metrics = await repository.metrics({ tenant, ...request.query });
        return { modelId: request.query.modelId, ...metrics };
      },
    );
    app.get(
      '/v1/monitoring/ingest',
      { config: { scope: 'monitor' }, schema: { operationId: 'getIngest', tags } },
      async ({ principal }) => ({ items: await repository.ingest(principal.tenant) }),
    );
  };
}
