import type { Database } from '@millrace/database';
import type { Auth, HttpApp, Logger, Metrics, ReadinessChecks } from '@millrace/service-kit';
import { createHttp } from '@millrace/service-kit';
import { createDriftRepository } from './drift/drift.repository.ts';
import { driftRoutes } from './drift/drift.routes.ts';
import { createDriftService } from './drift/drift.service.ts';
import { createErasureRepository } from './erasure/erasure.repository.ts';
import { erasureRoutes } from './erasure/erasure.routes.ts';
import { createEventRepository } from './events/event.repository.ts';
import { eventRoutes } from './events/event.routes.ts';
import { createFeedbackRepository } from './feedback/feedback.repository.ts';
import { feedbackRoutes } from './feedback/feedback.routes.ts';
import { createMetricsRepository } from './metrics/metrics.repository.ts';
import { metricsRoutes } from './metrics/metrics.routes.ts';
import { createMetricsService } from './metrics/metrics.service.ts';
import { createQualityRepository } from './quality/quality.repository.ts';
import { qualityRoutes } from './quality/quality.routes.ts';
import { createQualityService } from './quality/quality.service.ts';
import type { RetentionDays } from './rollups/time-cover.ts';

export type MonitoringDeps = {
  logger: Logger;
  metrics: Metrics;
  auth: Auth;
  readiness: ReadinessChecks;
  database: Database;
  unmatchedAfterHours: number;
  retention: RetentionDays;
};

/** The HTTP side of monitoring; does not listen. */
export async function buildApp(deps: MonitoringDeps): Promise<HttpApp> {
  const { logger, metrics, auth, readiness, database, unmatchedAfterHours, retention } = deps;
  const app = await createHttp({
    service: 'monitoring',
    logger,
    metrics,
    auth,
    readiness,
    openapi: {
      title: 'Millrace monitoring',
      description: 'Predictions that were made, and what came of them.',
    },
  });
  const retentionDays = retention.predictions;
  const feedback = createFeedbackRepository(database, retentionDays);
  const events = createEventRepository(database);
  const sums = createMetricsService(createMetricsRepository(database), retention);
  await app.register(feedbackRoutes(feedback, { unmatchedAfterHours, retentionDays }));
  await app.register(eventRoutes(events));
  await app.register(metricsRoutes(sums));
  await app.register(qualityRoutes(createQualityService(createQualityRepository(database), sums)));
  await app.register(erasureRoutes(createErasureRepository(database), events));
  await app.register(driftRoutes(createDriftService(createDriftRepository(database))));
  return app;
}
