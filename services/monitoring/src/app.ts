import type { Database } from '@millrace/database';
import type { Auth, HttpApp, Logger, Metrics, ReadinessChecks } from '@millrace/service-kit';
import { createHttp } from '@millrace/service-kit';
import { createEventRepository } from './events/event.repository.ts';
import { eventRoutes } from './events/event.routes.ts';
import { createFeedbackRepository } from './feedback/feedback.repository.ts';
import { feedbackRoutes } from './feedback/feedback.routes.ts';

export type MonitoringDeps = {
  logger: Logger;
  metrics: Metrics;
  auth: Auth;
  readiness: ReadinessChecks;
  database: Database;
  unmatchedAfterHours: number;
};

/** The HTTP side of monitoring; does not listen. */
export async function buildApp(deps: MonitoringDeps): Promise<HttpApp> {
  const { logger, metrics, auth, readiness, database } = deps;
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
  await app.register(feedbackRoutes(createFeedbackRepository(database), deps.unmatchedAfterHours));
  await app.register(eventRoutes(createEventRepository(database)));
  return app;
}
