import { authConfig, databaseConfig, natsConfig, serviceConfig } from '@millrace/service-kit';
import type { Static } from 'typebox';
import Type from 'typebox';

/** Environment of the monitoring service. */
export const MonitoringConfig = Type.Object({
  ...serviceConfig,
  ...authConfig,
  ...databaseConfig,
  ...natsConfig,
  retentionDays: Type.Integer({
    env: 'MILLRACE_PREDICTION_RETENTION_DAYS',
    default: 30,
    minimum: 1,
    maximum: 3_650,
    description: 'Predictions and feedback older than this many days are removed, a whole day at a time.',
  }),
  rollupMinuteDays: Type.Integer({
    env: 'MILLRACE_ROLLUP_MINUTE_RETENTION_DAYS',
    default: 30,
    minimum: 1,
    maximum: 3_650,
    description: 'Sums of predictions by minute are kept so many days.',
  }),
  rollupHourDays: Type.Integer({
    env: 'MILLRACE_ROLLUP_HOUR_RETENTION_DAYS',
    default: 400,
    minimum: 1,
    maximum: 3_650,
    description: 'Sums of predictions by hour are kept so many days.',
  }),
  rollupDayDays: Type.Integer({
    env: 'MILLRACE_ROLLUP_DAY_RETENTION_DAYS',
    default: 3_650,
    minimum: 1,
    maximum: 36_500,
    description:
      'Sums of predictions by day are kept so many days; metrics without a start speak of all of them.',
  }),
  driftWindowMinutes: Type.Integer({
    env: 'MILLRACE_DRIFT_WINDOW_MINUTES',
    default: 60,
    minimum: 5,
    maximum: 10_080,
    description:
      'Length of the windows in which predictions of versions with a drift reference are judged, one after the other.',
  }),
  unmatchedAfterHours: Type.Number({
    env: 'MILLRACE_UNMATCHED_FEEDBACK_HOURS',
    default: 24,
    minimum: 0,
    description: 'Feedback whose prediction has not come after this many hours is reported as unmatched.',
  }),
});
export type MonitoringConfig = Static<typeof MonitoringConfig>;
