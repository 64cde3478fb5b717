import { AppError, Uuid } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import { keptSince } from '../rollups/time-cover.ts';
import { timeOfId } from '../time-of-id.ts';
import type { Feedback, FeedbackRepository, RecordedFeedback } from './feedback.repository.ts';

/** Bound of one feedback body (bytes). */
const BODY_BYTES_MAX = 64 * 1024;
const UNMATCHED_LIMIT = 1_000;
/** Feedback of one request, and the bound of its body (bytes). */
const ITEMS_MAX = 1_000;
const ITEMS_BYTES_MAX = 1024 * 1024;

const FeedbackBody = Type.Object(
  {
    inferenceId: Uuid,
    outcome: Type.Unknown({
      description: 'What really was; any JSON. `{class}` or `{label}` tell a class, `{value}` a number.',
    }),
    correct: Type.Optional(Type.Boolean({ description: 'Whether the prediction was right.' })),
  },
  { additionalProperties: false },
);

const Recorded = Type.Object({
  inferenceId: Type.String(),
  state: Type.Union(
    [Type.Literal('recorded'), Type.Literal('corrected'), Type.Literal('duplicate'), Type.Literal('expired')],
    {
      description:
        'recorded: the first of this prediction; corrected: in place of an earlier one; duplicate: says what was said; expired: the prediction is past the retention. The last two change nothing.',
    },
  ),
  isMatched: Type.Boolean({ description: 'The prediction is there; else the feedback waits for it.' }),
  isContradictory: Type.Boolean({
    description: '`correct` says something else than outcome and prediction do; both are kept.',
  }),
});

const Unmatched = Type.Object({
  inferenceId: Type.String(),
  outcome: Type.Unknown(),
  correct: Type.Union([Type.Boolean(), Type.Null()]),
  receivedAt: Type.String(),
});

type GivenFeedback = { inferenceId: string; outcome: unknown; correct?: boolean };
const toFeedback = ({ inferenceId, outcome, correct }: GivenFeedback): Feedback => ({
  inferenceId,
  outcome,
  correct: correct ?? null,
});

function assertDistinct(items: readonly GivenFeedback[]): void {
  const places = new Map<string, number>();
  for (const [place, { inferenceId }] of items.entries()) {
    const earlier = places.get(inferenceId);
    if (earlier !== undefined)
      throw new AppError(
        'invalid_request',
        `body.items.${place} is about the same prediction as body.items.${earlier}; send the one that holds.`,
      );
    places.set(inferenceId, place);
  }
}

/** `POST /feedback`, feedback of many predictions at once, and what never found its prediction. */
export function feedbackRoutes(
  repository: FeedbackRepository,
  options: { unmatchedAfterHours: number; retentionDays: number },
): (app: HttpApp) => Promise<void> {
  const isExpired = ({ inferenceId }: GivenFeedback): boolean => {
    const madeAt = timeOfId(inferenceId)?.getTime() ?? Number.POSITIVE_INFINITY;
    return madeAt < keptSince(Date.now(), options.retentionDays);
  };
  const expired = ({ inferenceId }: GivenFeedback): RecordedFeedback => ({
    inferenceId,
    state: 'expired',
    isMatched: false,
    isContradictory: false,
  });

  return async (app) => {
    app.post(
      '/feedback',
      {
        config: { scope: 'predict' },
        bodyLimit: BODY_BYTES_MAX,
        schema: {
          operationId: 'recordFeedback',
          tags: ['monitoring'],
          description:
            'May come before its prediction is stored: it is kept and joined. Sent again, it corrects the earlier one.',
          body: FeedbackBody,
          response: { 200: Type.Object({ success: Type.Literal(true), inferenceId: Type.String() }) },
        },
      },
      async ({ body, principal: { id: principal, tenant } }) => {
        await repository.record({ tenant, principal }, [toFeedback(body)]);
        return { success: true as const, inferenceId: body.inferenceId };
      },
    );
    app.post(
      '/v1/monitoring/feedback',
      {
        config: { scope: 'predict' },
        bodyLimit: ITEMS_BYTES_MAX,
        schema: {
          operationId: 'recordFeedbackBatch',
          tags: ['monitoring'],
          description: 'As POST /feedback, for many predictions, and says of each what became of it.',
          body: Type.Object(
            { items: Type.Array(FeedbackBody, { minItems: 1, maxItems: ITEMS_MAX }) },
            { additionalProperties: false },
          ),
          response: { 200: Type.Object({ items: Type.Array(Recorded) }) },
        },
      },
      async ({ body: { items }, principal: { id: principal, tenant } }) => {
        assertDistinct(items);
        const kept = items.filter((item) => !isExpired(item)).map(toFeedback);
        const recorded = kept.length === 0 ? [] : await repository.record({ tenant, principal }, kept);
        const byId = new Map(recorded.map((one) => [one.inferenceId, one]));
        return { items: items.map((item) => byId.get(item.inferenceId) ?? expired(item)) };
      },
    );
    app.get(
      '/v1/monitoring/unmatched-feedback',
      {
        config: { scope: 'monitor' },
        schema: {
          operationId: 'listUnmatchedFeedback',
          tags: ['monitoring'],
          response: { 200: Type.Object({ items: Type.Array(Unmatched) }) },
        },
      },
      async ({ principal }) => {
        const items = await repository.listUnmatched(
          principal.tenant,
          options.unmatchedAfterHours,
          UNMATCHED_LIMIT,
        );
        return { items: items.map((item) => ({ ...item, receivedAt: item.receivedAt.toISOString() })) };
      },
    );
  };
}
