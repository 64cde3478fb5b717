import type { HttpApp } from '@millrace/service-kit';
import Type from 'typebox';
import { assertRange, QueryName, timeRange } from '../time-range.ts';
import { LABELS_MIN } from './estimate.ts';
import { LABELLED_MAX } from './quality.repository.ts';
import type { QualityService } from './quality.service.ts';

const NumberOrNull = Type.Union([Type.Number(), Type.Null()]);
const count = Type.Integer();

const Feedback = Type.Object(
  {
    matched: count,
    classified: count,
    measured: Type.Integer({ description: 'Of regressions.' }),
    incomparable: Type.Integer({
      description: 'Tell neither a class nor a number that fits the prediction.',
    }),
    contradictory: Type.Integer({ description: '`correct` says something else than the outcome does.' }),
    medianDelaySeconds: Type.Union([Type.Number(), Type.Null()], {
      description: 'From prediction to feedback.',
    }),
    oldestAt: Type.Union([Type.Integer(), Type.Null()], {
      description: `Of the oldest prediction counted: at most the ${LABELLED_MAX} newest are.`,
    }),
  },
  { description: 'Predictions of the range whose feedback came.' },
);

const Classification = Type.Object({
  count,
  accuracy: Type.Number(),
  macroPrecision: Type.Number(),
  macroRecall: Type.Number(),
  macroF1: Type.Number(),
  logLoss: NumberOrNull,
  brier: Type.Union([Type.Number(), Type.Null()], {
    description:
      'Sum over the classes of the squared difference of probability and truth: 0 to 2, twice the binary form.',
  }),
  scored: Type.Integer({ description: 'Predictions with a probability for each class, known by its place.' }),
  calibrationError: Type.Union([Type.Number(), Type.Null()], { description: 'ECE over 15 equal bins.' }),
  auc: Type.Union([Type.Number(), Type.Null()], {
    description: 'One against the rest, mean over the classes; null over 20 classes.',
  }),
  classes: Type.Array(
    Type.Object({
      label: Type.String(),
      support: count,
      precision: NumberOrNull,
      recall: NumberOrNull,
      f1: NumberOrNull,
    }),
  ),
  confusion: Type.Array(Type.Object({ truth: Type.String(), predicted: Type.String(), count })),
  reliability: Type.Array(
    Type.Object({
      from: Type.Number(),
      to: Type.Number(),
      count,
      avgProbability: Type.Number(),
      accuracy: Type.Number(),
    }),
  ),
  aucByClass: Type.Array(Type.Object({ place: count, positives: count, auc: Type.Number() })),
});

const Regression = Type.Object({
  count,
  mae: Type.Number(),
  rmse: Type.Number(),
  meanError: Type.Number({ description: 'Predicted less true.' }),
  r2: NumberOrNull,
});

const Estimate = Type.Object(
  {
    accuracy: Type.Number(),
    low: Type.Number(),
    high: Type.Number(),
    predictions: count,
    labelled: count,
  },
  {
    description: `An estimate, not a measurement: each prediction of the range is expected to be right as often as those of its confidence were whose truth is known. Assumes that confidences still mean what they meant (no concept drift) and that the known truths are no special choice; low and high (95 %) tell only what the labels leave open. Null with fewer than ${LABELS_MIN} of them.`,
  },
);

/** `GET /v1/monitoring/quality`: what feedback says of predictions. */
export function qualityRoutes(quality: QualityService): (app: HttpApp) => Promise<void> {
  return async (app) => {
    app.get(
      '/v1/monitoring/quality',
      {
        config: { scope: 'monitor' },
        schema: {
          operationId: 'getQuality',
          tags: ['monitoring'],
          description:
            'By the time of the predictions, so that it changes as their truths come in. Outcomes tell a class as `{class}` or `{label}`, a number as `{value}`.',
          querystring: Type.Object(
            {
              modelId: QueryName,
              version: Type.Optional(QueryName),
              stage: Type.Optional(QueryName),
              ...timeRange,
            },
            { additionalProperties: false },
          ),
          response: {
            200: Type.Object({
              modelId: Type.String(),
              feedback: Feedback,
              classification: Type.Union([Classification, Type.Null()]),
              regression: Type.Union([Regression, Type.Null()]),
              estimate: Type.Union([Estimate, Type.Null()]),
            }),
          },
        },
      },
      async ({ query, principal: { tenant } }) => {
        assertRange(query);
        const { feedback, ...rest } = await quality.answer({ ...query, tenant });
        return {
          modelId: query.modelId,
          feedback: { ...feedback, oldestAt: feedback.oldestAt?.getTime() ?? null },
          ...rest,
        };
      },
    );
  };
}
