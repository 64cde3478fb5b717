import { createBusTables } from '@millrace/bus';
import { pgSchema } from 'drizzle-orm/pg-core';

export const datasetsSchema = pgSchema('datasets');
export const { outbox, aggregateVersions, inbox } = createBusTables(datasetsSchema);
