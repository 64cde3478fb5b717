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
  unmatchedAfterHours: Type.Number({
    env: 'MILLRACE_UNMATCHED_FEEDBACK_HOURS',
    default: 24,
    minimum: 0,
    description: 'Feedback whose prediction has not come after this many hours is reported as unmatched.',
  }),
});
export type MonitoringConfig = Static<typeof MonitoringConfig>;
