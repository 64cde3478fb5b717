import type { HttpApp, HttpOptions } from '@millrace/service-kit';
import { createHttp } from '@millrace/service-kit';
import { bundleRoutes } from './bundles/bundle.routes.ts';
import type { BundleService } from './bundles/bundle.service.ts';
import { bundleImportRoutes } from './bundles/bundle-import.routes.ts';
import type { BundleImportService } from './bundles/bundle-import.service.ts';
import { collectionRoutes } from './collection/collection.routes.ts';
import type { CollectionService } from './collection/collection.service.ts';
import type { EnsembleRoutesOptions } from './ensembles/ensemble.routes.ts';
import { ensembleRoutes } from './ensembles/ensemble.routes.ts';
import type { ApprovalRoutesOptions } from './governance/approval.routes.ts';
import { approvalRoutes } from './governance/approval.routes.ts';
import type { PolicyRoutesOptions } from './governance/policy.routes.ts';
import { policyRoutes } from './governance/policy.routes.ts';
import type { HistoryRoutesOptions } from './history/history.routes.ts';
import { historyRoutes } from './history/history.routes.ts';
import { importRoutes } from './imports/import.routes.ts';
import type { ImportService } from './imports/import.service.ts';
import { mlflowRoutes } from './mlflow/mlflow-scope.ts';
import type { MlflowRegistry } from './mlflow-registry/mlflow-registry.ts';
import type { ModelRoutesOptions } from './models/model.routes.ts';
import { modelRoutes } from './models/model.routes.ts';
import { modelApiRoutes } from './models/model-api.routes.ts';
import { partUploadRoutes } from './part-uploads/part-upload.routes.ts';
import type { PartUploadService } from './part-uploads/part-upload.service.ts';
import type { RolloutRoutesOptions } from './rollouts/rollout.routes.ts';
import { rolloutRoutes } from './rollouts/rollout.routes.ts';
import type { Tracking } from './tracking/tracking.ts';
import type { DatasetModelOptions } from './uploads/dataset-model.routes.ts';
import { datasetModelRoutes } from './uploads/dataset-model.routes.ts';
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
  ApprovalRoutesOptions &
  PolicyRoutesOptions &
  HistoryRoutesOptions &
  EnsembleRoutesOptions & {
    uploads: UploadService;
    datasetModels: DatasetModelOptions;
    imports: ImportService;
    bundles: BundleService;
    bundleImports: BundleImportService;
    partUploads: PartUploadService;
    collections: CollectionService;
    tracking: Tracking;
    mlflowRegistry: MlflowRegistry;
  };

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
    datasetModelRoutes,
    importRoutes,
    partUploadRoutes,
    collectionRoutes,
    ensembleRoutes,
    modelApiRoutes,
    modelRoutes,
    versionRoutes,
    bundleRoutes,
    bundleImportRoutes,
    rolloutRoutes,
    historyRoutes,
    approvalRoutes,
    policyRoutes,
  ];
  for (const routes of all) await app.register(routes(deps));
  await app.register(mlflowRoutes([...deps.tracking.routes, ...deps.mlflowRegistry.routes]));
  return app;
}
