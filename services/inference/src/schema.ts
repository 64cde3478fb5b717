import { createBusTables } from '@millrace/bus';
import { pgSchema } from 'drizzle-orm/pg-core';
import { createBatchTables } from './batch/batch.table.ts';

export const inferenceSchema = pgSchema('inference');
export const busTables = createBusTables(inferenceSchema);
export const { outbox, aggregateVersions, inbox } = busTables;
export const batchTables = createBatchTables(inferenceSchema);
export const { batchJobs, batchTasks } = batchTables;
