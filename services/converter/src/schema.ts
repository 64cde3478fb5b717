import { createBusTables } from '@millrace/bus/tables';
import { createJobTables } from '@millrace/jobs/tables';
import { pgSchema } from 'drizzle-orm/pg-core';

export const converterSchema = pgSchema('converter');

/** Tables of the bus, exported one by one as well so that drizzle-kit sees them. */
export const busTables = createBusTables(converterSchema);
export const { outbox, aggregateVersions, inbox } = busTables;

/** Tables of conversion jobs. */
export const jobTables = createJobTables(converterSchema);
export const { jobs, jobLogs, workers } = jobTables;
