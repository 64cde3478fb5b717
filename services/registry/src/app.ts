import type { HttpApp, HttpOptions } from '@millrace/service-kit';
import { createHttp } from '@millrace/service-kit';
import type { EnsembleRoutesOptions } from './ensembles/ensemble.routes.ts';
import { ensembleRoutes } from './ensembles/ensemble.routes.ts';
import type { ChangeLog } from './history/change-log.ts';
import { historyRoutes } from './history/history.routes.ts';
import { importRoutes } from './imports/import.routes.ts';
import type { ImportService } from './imports/import.service.ts';
import type { ModelRoutesOptions } from './models/model.routes.ts';
import { modelRoutes } from './models/model.routes.ts';
import { modelApiRoutes } from './models/model-api.routes.ts';
import type { RolloutRoutesOptions } from './rollouts/rollout.routes.ts';
import { rolloutRoutes } from './rollouts/rollout.routes.ts';
import { uploadRoutes } from './uploads/upload.routes.ts';
import type { UploadService } from './uploads/upload.service.ts';
import type { VersionRoutesOptions } from './versions/version.routes.ts';
import { versionRoutes } from './versions/version.routes.ts';

/** An upload of the largest model over a slow line may take this long. */
const UPLOAD_TIMEOUT_MS = 30 * 60_000;

export type AppDeps = Pick<HttpOptions, 'logger' | 'metrics' | 'auth' | 'readiness'> &
  ModelRoutesOptions &
  VersionRoutesOptions &
  RolloutRoutesOptions &
  EnsembleRoutesOptions & { changeLog: ChangeLog; uploads: UploadService; imports: ImportService };

/** The HTTP side of the registry; it does not listen yet. */
export async function buildApp(deps: AppDeps): Promise<HttpApp> {
  const app = await createHttp({
    service: 'registry',
    logger: deps.logger,
    metrics: deps.metrics,
    auth: deps.auth,
    readiness: deps.readiness,
    requestTimeoutMs: UPLOAD_TIMEOUT_MS,
    openapi: { title: 'Millrace registry', description: 'Models and their signed, verified versions.' },
  });
  const all = [
    uploadRoutes,
    importRoutes,
    ensembleRoutes,
    modelApiRoutes,
    modelRoutes,
    versionRoutes,
    rolloutRoutes,
    historyRoutes,
  ];
  for (const routes of all) await app.register(routes(deps));
  return app;
}
