import { createBusTables } from '@millrace/bus/tables';
import { pgSchema } from 'drizzle-orm/pg-core';
import { createGovernanceTables } from './governance/governance.table.ts';
import { createHistoryTables } from './history/change-log.table.ts';
import { createImportTable } from './imports/import.table.ts';
import { createModelRegistrationTable } from './mlflow-registry/model-registration.table.ts';
import { createModelTables } from './models/model.table.ts';
import { createPartUploadTable } from './part-uploads/part-upload.table.ts';
import { createRolloutTable } from './rollouts/rollout.table.ts';
import { createArtifactTables } from './tracking/artifact.table.ts';
import { createExperimentTables } from './tracking/experiment.table.ts';
import { createLoggedModelTables } from './tracking/logged-model.table.ts';
import { createRunTables } from './tracking/run.table.ts';
import { createVersionTables } from './versions/version.table.ts';

export const registrySchema = pgSchema('registry');

/** Tables of the bus, exported one by one as well so that drizzle-kit sees them. */
export const busTables = createBusTables(registrySchema);
export const { outbox, aggregateVersions, inbox } = busTables;

export const { models, aliases } = createModelTables(registrySchema);
export const { packages, packageFiles, modelVersions, attestations } = createVersionTables(registrySchema);
export const { changeLog, changeFacts } = createHistoryTables(registrySchema);
export const { tenantGovernance, modelPolicies, approvals, allowedDigests } = createGovernanceTables(
  registrySchema,
  models,
);
export const rollouts = createRolloutTable(registrySchema, models);
export const imports = createImportTable(registrySchema, models);
export const modelRegistrations = createModelRegistrationTable(registrySchema, { models, modelVersions });

export const { experiments, experimentTags } = createExperimentTables(registrySchema);
export const { runs, runMetrics, runLatestMetrics, runParams, runTags, runDatasets, runModels } =
  createRunTables(registrySchema, experiments);
export const { loggedModels, loggedModelParams, loggedModelTags, loggedModelMetrics } =
  createLoggedModelTables(registrySchema, experiments);
export const { artifacts, artifactUploads, artifactGarbage } = createArtifactTables(registrySchema);
export const partUploads = createPartUploadTable(registrySchema);
