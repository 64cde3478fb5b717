import { Uuid } from '@millrace/contracts';
import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import type { FeedbackRepository } from './feedback.repository.ts';

/** Bound of one feedback body (bytes). */
const BODY_BYTES_MAX = 64 * 1024;
const UNMATCHED_LIMIT = 1_000;

const FeedbackBody = Type.Object(
  {
    inferenceId: Uuid,
    outcome: Type.Unknown({ description: 'What really was; any JSON.' }),
    correct: Type.Optional(Type.Boolean({ description: 'Whether the prediction was right.' })),
  },
  { additionalProperties: false },
);

const Unmatched = Type.Object({
  inferenceId: Type.String(),
  outcome: Type.Unknown(),
  correct: Type.Union([Type.Boolean(), Type.Null()]),
  receivedAt: Type.String(),
});

/** `POST /feedback`, and the feedback that never found its prediction. */
export function feedbackRoutes(
  repository: FeedbackRepository,
  unmatchedAfterHours: number,
): (app: HttpApp) => Promise<void> {
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
      async (request) => {
        const { inferenceId, outcome, correct = null } = request.body;
        const { id: principal, tenant } = request.principal;
        await repository.record({ inferenceId, tenant, outcome, correct, principal });
        return { success: true as const, inferenceId };
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
        const items = await repository.listUnmatched(principal.tenant, unmatchedAfterHours, UNMATCHED_LIMIT);
        return { items: items.map((item) => ({ ...item, receivedAt: item.receivedAt.toISOString() })) };
      },
    );
  };
}
