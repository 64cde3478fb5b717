import type { JobRoutesOptions } from '@millrace/jobs';
import { jobRoutes } from '@millrace/jobs';
import type { HttpApp, HttpOptions } from '@millrace/service-kit';
import { createHttp } from '@millrace/service-kit';
import type { ConversionRoutesOptions } from './conversions/conversion.routes.ts';
import { conversionRoutes } from './conversions/conversion.routes.ts';

export type AppDeps = Pick<HttpOptions, 'logger' | 'metrics' | 'auth' | 'readiness'> &
  ConversionRoutesOptions &
  Pick<JobRoutesOptions, 'database' | 'feed'>;

/** The HTTP side of the converter; it does not listen yet. */
export async function buildApp(deps: AppDeps): Promise<HttpApp> {
  const app = await createHttp({
    service: 'converter',
    logger: deps.logger,
    metrics: deps.metrics,
    auth: deps.auth,
    readiness: deps.readiness,
    openapi: { title: 'Millrace converter', description: 'Trained models to ONNX, checked for parity.' },
  });
  await app.register(conversionRoutes(deps));
  await app.register(
    jobRoutes({
      path: '/v1/conversions',
      name: 'Conversion',
      readScope: 'models:read',
      writeScope: 'train',
      jobs: deps.jobs,
      database: deps.database,
      feed: deps.feed,
    }),
  );
  return app;
}
