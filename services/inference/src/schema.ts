import { createBusTables } from '@millrace/bus';
import { pgSchema } from 'drizzle-orm/pg-core';

export const inferenceSchema = pgSchema('inference');
export const busTables = createBusTables(inferenceSchema);
export const { outbox, aggregateVersions, inbox } = busTables;
