import { createBusTables } from '@millrace/bus/tables';
import { pgSchema } from 'drizzle-orm/pg-core';
import { createChangeLogTable } from './history/change-log.table.ts';
import { createImportTable } from './imports/import.table.ts';
import { createModelTables } from './models/model.table.ts';
import { createRolloutTable } from './rollouts/rollout.table.ts';
import { createVersionTables } from './versions/version.table.ts';

export const registrySchema = pgSchema('registry');

/** Tables of the bus, exported one by one as well so that drizzle-kit sees them. */
export const busTables = createBusTables(registrySchema);
export const { outbox, aggregateVersions, inbox } = busTables;

export const { models, aliases } = createModelTables(registrySchema);
export const { packages, packageFiles, modelVersions, attestations } = createVersionTables(registrySchema);
export const changeLog = createChangeLogTable(registrySchema);
export const rollouts = createRolloutTable(registrySchema, models);
export const imports = createImportTable(registrySchema, models);
