import { createBusTables } from '@millrace/bus/tables';
import { createJobTables } from '@millrace/jobs/tables';
import { pgSchema } from 'drizzle-orm/pg-core';
import { createPipelineTable } from './pipelines/pipeline.table.ts';

export const trainingSchema = pgSchema('training');

/** Tables of the bus, exported one by one as well so that drizzle-kit sees them. */
export const busTables = createBusTables(trainingSchema);
export const { outbox, aggregateVersions, inbox } = busTables;

export const jobTables = createJobTables(trainingSchema);
export const { jobs, jobLogs, workers } = jobTables;

export const pipelines = createPipelineTable(trainingSchema);
