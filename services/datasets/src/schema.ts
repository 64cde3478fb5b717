import { createBusTables } from '@millrace/bus/tables';
import { createJobTables } from '@millrace/jobs/tables';
import { pgSchema } from 'drizzle-orm/pg-core';
import { createDatasetTables } from './datasets/dataset.table.ts';
import { createFeatureTables } from './features/feature-view.table.ts';
import { createTrainingTable } from './trainings/training.table.ts';
import { createDatasetUploadTable } from './uploads/dataset-upload.table.ts';

export const datasetsSchema = pgSchema('datasets');

/** Tables of the bus, exported one by one as well so that drizzle-kit sees them. */
export const busTables = createBusTables(datasetsSchema);
export const { outbox, aggregateVersions, inbox } = busTables;

export const jobTables = createJobTables(datasetsSchema);
export const { jobs, jobLogs, workers } = jobTables;

export const datasetTables = createDatasetTables(datasetsSchema);
export const { datasets, datasetVersions, versionRequests } = datasetTables;

export const versionTrainings = createTrainingTable(datasetsSchema);

export const featureTables = createFeatureTables(datasetsSchema);
export const { featureViews, featureValues } = featureTables;

export const partUploads = createDatasetUploadTable(datasetsSchema);
