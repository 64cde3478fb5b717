import { fileURLToPath } from 'node:url';
import { callRpc, serveRpc, serveTenantRecords } from '@millrace/bus';
import { findDatasetMethod, loadVersionMethod, resolveVersionMethod } from '@millrace/contracts';
import { connectPlatform, startService } from '@millrace/service-kit';
import { storageOf } from '@millrace/storage';
import { createPartUploadRepository } from '@millrace/uploads';
import { buildApp } from './app.ts';
import { createBundleService } from './bundles/bundle.service.ts';
import { createBundleImportService } from './bundles/bundle-import.service.ts';
import { createCollectionService } from './collection/collection.service.ts';
import { createOrphans } from './collection/orphans.ts';
import { createReferences } from './collection/references.ts';
import { ConfigSchema } from './config.ts';
import { createEnsembleService } from './ensembles/ensemble.service.ts';
import { createApprovalService } from './governance/approval.service.ts';
import { createApprovalProver } from './governance/approval-proof.ts';
import { createGate } from './governance/gate.ts';
import { createGovernanceRepository } from './governance/governance.repository.ts';
import { createPolicyService } from './governance/policy.service.ts';
import { createChangeLog } from './history/change-log.ts';
import { createHistoryService } from './history/history.service.ts';
import { createRegisteredLookup } from './history/registered-lookup.ts';
import { createStateRepository } from './history/state.repository.ts';
import { startImportConsumers } from './imports/import.consumer.ts';
import { createImportRepository } from './imports/import.repository.ts';
import { createImportService } from './imports/import.service.ts';
import { createMlflowRegistry } from './mlflow-registry/mlflow-registry.ts';
import { withRegisteredPackages } from './mlflow-registry/registered-artifacts.ts';
import { createModelRepository } from './models/model.repository.ts';
import { createModelService } from './models/model.service.ts';
import { createPartUploadService } from './part-uploads/part-upload.service.ts';
import type { PartUploadRow } from './part-uploads/part-upload.table.ts';
import { boundedArtifacts, boundedModels, boundedVersions } from './quotas/bounded-repositories.ts';
import { createRegistryCounts, registryRecords } from './quotas/registry-counts.ts';
import { startRegistrationConsumer } from './registration/registration.consumer.ts';
import { createRegistrationService } from './registration/registration.service.ts';
import { openSigningKey } from './registration/signing-key.ts';
import { createRolloutRepository } from './rollouts/rollout.repository.ts';
import { createRolloutService } from './rollouts/rollout.service.ts';
import { startRolloutMonitor } from './rollouts/rollout-monitor.ts';
import * as schema from './schema.ts';
import { createTracking } from './tracking/tracking.ts';
import { startTrainingRunConsumers } from './tracking/training-run.consumer.ts';
import { createUploadService } from './uploads/upload.service.ts';
import { createWorkLimit } from './uploads/work-limit.ts';
import { createVerificationReporter } from './verification/verification-reporter.ts';
import { signOldVersions } from './versions/sign-old-versions.ts';
import { createVersionRepository } from './versions/version.repository.ts';
import { createVersionService } from './versions/version.service.ts';
import { createWarmUp } from './versions/warm-up.ts';

/** Uploads whose model is in memory at once, and those that may wait for that. */
const INSPECTIONS_AT_ONCE = 2;
const INSPECTIONS_WAITING_MAX = 256;
/** Loading and warming the largest model takes less. */
const WARM_UP_TIMEOUT_MS = 60_000;
/** A hint: workers import what a conversion needs while the upload is stored. */
const WARM_CONVERT_SUBJECT = 'millrace.ctl.warm.convert';

const { busTables } = schema;
const migrationsFolder = fileURLToPath(new URL('../migrations', import.meta.url));

await startService({
  name: 'registry',
  config: ConfigSchema,
  env: process.env,
  connect: (base) => connectPlatform({ ...base, schema: 'registry', busTables, migrationsFolder }),
  async build({ service, config, logger, metrics, auth, readiness, database, bus, outbox }) {
    const key = openSigningKey(config);
    const storage = storageOf(config);
    await storage.ensureBucket();
    const counts = createRegistryCounts(schema);
    const quotas = { counts, quotaOf: auth.quotaOf };
    const models = boundedModels(createModelRepository(schema), quotas);
    const repository = boundedVersions(createVersionRepository(schema), models, quotas);
    const rollouts = createRolloutRepository(schema);
    const changeLog = createChangeLog(schema, outbox);
    const bounds = { timeoutMs: WARM_UP_TIMEOUT_MS };
    const warmUp = createWarmUp({ database, versions: repository }, (modelVersionId) =>
      callRpc(bus, 'inference', 'load', loadVersionMethod, { modelVersionId }, bounds),
    );
    const governance = createGovernanceRepository(schema);
    const gate = createGate({ database, governance, outbox });
    const registrations = createRegistrationService({
      models,
      versions: repository,
      changeLog,
      gate,
      outbox,
      key,
    });
    const registered = createRegisteredLookup(database, schema.changeLog);
    const verification = createVerificationReporter({ bus, database, outbox, metrics, logger });
    const versions = createVersionService({
      database,
      models,
      versions: repository,
      rollouts,
      changeLog,
      gate,
      outbox,
      storage,
      trustedPem: key.trustedPem,
      verification,
      registeredDigest: (modelId, versionId) => registered.packageDigest(modelId, versionId),
    });
    if (config.signOldVersions) {
      const { bound, refused } = await signOldVersions({
        database,
        models,
        rows: repository,
        key,
        check: versions.assertWhole,
      });
      logger.info({ bound, refused: refused.length }, 'Old versions have a signed identity now.');
      for (const { modelVersionId, error } of refused)
        logger.error({ modelVersionId, err: error }, 'An old version is not what was registered.');
    }
    const policies = createPolicyService({ database, models, governance, changeLog });
    const approvalService = createApprovalService({
      database,
      models,
      versionRows: repository,
      governance,
      gate,
      changeLog,
    });
    const approvalProver = createApprovalProver({
      database,
      models,
      versionRows: repository,
      gate,
      changeLog,
      key,
    });
    const histories = createHistoryService({
      database,
      models,
      governance,
      changeLog,
      states: createStateRepository(schema),
      key,
    });
    const modelService = createModelService({
      database,
      models,
      versionRows: repository,
      versions,
      rollouts,
      changeLog,
    });
    const rolloutService = createRolloutService({
      database,
      models,
      versions,
      versionRows: repository,
      rollouts,
      changeLog,
      outbox,
      warmUp,
      logger,
    });
    const monitor = startRolloutMonitor({
      bus,
      database,
      rollouts,
      service: rolloutService,
      metrics,
      logger,
    });
    const imports = createImportService({
      database,
      models,
      versions: repository,
      imports: createImportRepository(schema.imports),
      registrations,
      outbox,
      timeoutMs: config.importTimeoutSeconds * 1_000,
      logger,
    });
    const inspections = createWorkLimit(INSPECTIONS_AT_ONCE, INSPECTIONS_WAITING_MAX);
    const uploads = createUploadService({
      database,
      storage,
      key,
      registrations,
      versions,
      imports,
      announceConversion: () => bus.nc.publish(WARM_CONVERT_SUBJECT),
      limit: inspections,
      warmUp,
      logger,
    });
    const graceMs = config.storageGraceSeconds * 1_000;
    const partUploadRows = createPartUploadRepository<PartUploadRow>(schema.partUploads);
    const collections = createCollectionService({
      storage,
      orphans: createOrphans({
        storage,
        graceMs,
        activeUploads: (ids) => partUploadRows.activeOf(database.db, ids),
      }),
      references: createReferences({ bus, database, graceMs }),
      graceMs,
      logger,
    });
    const partUploads = createPartUploadService({
      database,
      partUploads: partUploadRows,
      storage,
      uploads,
      logger,
    });
    const ensembles = createEnsembleService({
      database,
      storage,
      key,
      registrations,
      versions,
      warmUp,
      logger,
    });
    const consumer = startRegistrationConsumer({
      bus,
      database,
      tables: busTables,
      storage,
      key,
      registrations,
      outbox,
    });
    const importConsumers = startImportConsumers({
      bus,
      database,
      tables: busTables,
      storage,
      key,
      imports,
    });
    const bundles = createBundleService({
      database,
      versions: repository,
      changeLog,
      registered,
      storage,
      key,
    });
    const bundleImports = createBundleImportService({
      database,
      storage,
      key,
      models,
      gate,
      registrations,
      versions,
      outbox,
      limit: inspections,
      warmUp,
      logger,
    });
    const refusals = verification.listen((id) => versions.findById(id));
    const rpc = serveRpc(bus, service, 'resolve', resolveVersionMethod, (request) =>
      versions.resolve(request),
    );
    const records = serveTenantRecords({ bus, service }, registryRecords(database, counts));
    const tracking = createTracking({
      database,
      tables: schema,
      storage,
      artifactBytesMax: config.artifactBytesMax,
      bound: (artifacts) => boundedArtifacts(artifacts, quotas),
      logger,
      extend: (artifacts) =>
        withRegisteredPackages(artifacts, { database, versionRows: repository, versions, storage }),
    });
    const mlflowRegistry = createMlflowRegistry({
      database,
      tables: schema,
      storage,
      key,
      tracking,
      models,
      modelService,
      versionRows: repository,
      versions,
      registrations,
      gate,
      changeLog,
      logger,
    });
    const trainings = startTrainingRunConsumers({
      bus,
      database,
      tables: busTables,
      trainingRuns: tracking.trainingRuns,
    });
    const app = await buildApp({
      logger,
      metrics,
      auth,
      readiness: { ...readiness, storage: () => storage.checkHealth() },
      database,
      models,
      modelService,
      governance,
      policies,
      approvalService,
      approvalProver,
      histories,
      repository,
      versions,
      changeLog,
      uploads,
      datasetModels: {
        database,
        storage,
        key,
        registrations,
        findDataset: (tenant, dataset) =>
          callRpc(bus, 'datasets', 'find', findDatasetMethod, { tenant, dataset }),
      },
      imports,
      partUploads,
      collections,
      ensembles,
      bundles,
      bundleImports,
      rollouts,
      rolloutService,
      monitor,
      tracking,
      mlflowRegistry,
    });
    return {
      app,
      async close() {
        refusals.stop();
        await records.stop();
        partUploads.stop();
        await Promise.all([consumer.stop(), importConsumers.stop(), rpc.stop(), monitor.stop()]);
        await Promise.all([trainings.stop(), imports.stop()]);
        tracking.stop();
        await mlflowRegistry.stop();
        storage.close();
      },
    };
  },
});
