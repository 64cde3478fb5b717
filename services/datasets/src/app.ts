import type { JobRoutesOptions } from '@millrace/jobs';
import { jobRoutes } from '@millrace/jobs';
import type { HttpApp, HttpOptions } from '@millrace/service-kit';
import { createHttp } from '@millrace/service-kit';
import { datasetRoutes } from './datasets/dataset.routes.ts';
import type { DatasetApiOptions } from './exports/dataset-api.routes.ts';
import { datasetApiRoutes } from './exports/dataset-api.routes.ts';
import type { FeatureValueRoutesOptions } from './features/feature-value.routes.ts';
import { featureValueRoutes } from './features/feature-value.routes.ts';
import type { FeatureViewRoutesOptions } from './features/feature-view.routes.ts';
import { featureViewRoutes } from './features/feature-view.routes.ts';
import type { TrainingSetRoutesOptions } from './features/training-set/training-set.routes.ts';
import { trainingSetRoutes } from './features/training-set/training-set.routes.ts';
import type { IngestRoutesOptions } from './ingestions/ingest.routes.ts';
import { ingestRoutes } from './ingestions/ingest.routes.ts';
import type { TrainingRoutesOptions } from './trainings/training.routes.ts';
import { trainingRoutes } from './trainings/training.routes.ts';
import type { DatasetUploadRoutesOptions } from './uploads/dataset-upload.routes.ts';
import { datasetUploadRoutes } from './uploads/dataset-upload.routes.ts';
import type { DescriptionRoutesOptions } from './versions/description.routes.ts';
import { descriptionRoutes } from './versions/description.routes.ts';
import type { VersionRoutesOptions } from './versions/version.routes.ts';
import { versionRoutes } from './versions/version.routes.ts';

/** An upload of gigabytes may take this long. */
const UPLOAD_TIMEOUT_MS = 60 * 60_000;

export type AppDeps = Pick<HttpOptions, 'logger' | 'metrics' | 'auth' | 'readiness'> &
  VersionRoutesOptions &
  DatasetUploadRoutesOptions &
  IngestRoutesOptions &
  DescriptionRoutesOptions &
  TrainingRoutesOptions &
  DatasetApiOptions &
  FeatureViewRoutesOptions &
  FeatureValueRoutesOptions &
  TrainingSetRoutesOptions &
  Pick<JobRoutesOptions, 'jobs' | 'feed'>;

/** The HTTP side of the datasets service; it does not listen yet. */
export async function buildApp(deps: AppDeps): Promise<HttpApp> {
  const app = await createHttp({
    service: 'datasets',
    logger: deps.logger,
    metrics: deps.metrics,
    auth: deps.auth,
    readiness: deps.readiness,
    requestTimeoutMs: UPLOAD_TIMEOUT_MS,
    openapi: {
      title: 'Millrace datasets',
      description: 'Datasets and their immutable versions; features of entities.',
    },
  });
  await app.register(
    jobRoutes({
      path: '/v1/datasets/ingest-jobs',
      name: 'IngestJob',
      readScope: 'data:read',
      writeScope: 'data:write',
      jobs: deps.jobs,
      database: deps.database,
      feed: deps.feed,
    }),
  );
  await app.register(datasetRoutes(deps));
  await app.register(versionRoutes(deps));
  await app.register(datasetUploadRoutes(deps));
  await app.register(ingestRoutes(deps));
  await app.register(descriptionRoutes(deps));
  await app.register(trainingRoutes(deps));
  await app.register(datasetApiRoutes(deps));
  await app.register(featureViewRoutes(deps));
  await app.register(featureValueRoutes(deps));
  await app.register(trainingSetRoutes(deps));
  return app;
}
