import type { JobRoutesOptions } from '@millrace/jobs';
import { jobRoutes } from '@millrace/jobs';
import type { HttpApp, HttpOptions } from '@millrace/service-kit';
import { createHttp } from '@millrace/service-kit';
import type { TrainingJobRoutesOptions } from './jobs/training-job.routes.ts';
import { trainingJobRoutes } from './jobs/training-job.routes.ts';
import type { PipelineRoutesOptions } from './pipelines/pipeline.routes.ts';
import { pipelineRoutes } from './pipelines/pipeline.routes.ts';

export type AppDeps = Pick<HttpOptions, 'logger' | 'metrics' | 'auth' | 'readiness'> &
  TrainingJobRoutesOptions &
  PipelineRoutesOptions &
  Pick<JobRoutesOptions, 'database' | 'feed'>;

/** The HTTP side of the training-orchestrator; it does not listen yet. */
export async function buildApp(deps: AppDeps): Promise<HttpApp> {
  const app = await createHttp({
    service: 'training-orchestrator',
    logger: deps.logger,
    metrics: deps.metrics,
    auth: deps.auth,
    readiness: deps.readiness,
    openapi: { title: 'Millrace training', description: 'Training jobs, pipelines and recipes.' },
  });
  await app.register(
    jobRoutes({
      path: '/v1/training/jobs',
      name: 'TrainingJob',
      readScope: 'train',
      writeScope: 'train',
      jobs: deps.jobs,
      database: deps.database,
      feed: deps.feed,
    }),
  );
  await app.register(trainingJobRoutes(deps));
  await app.register(pipelineRoutes(deps));
  return app;
}
