import type { BucketRange, RolloutSpec } from '@millrace/contracts';
import type { PgSchema } from 'drizzle-orm/pg-core';
import { integer, jsonb, text, timestamp, uuid } from 'drizzle-orm/pg-core';
import type { ModelTables } from '../models/model.table.ts';

/** A canary that lost its weight: when, from which revision and why. */
export type Rollback = {
  readonly at: string;
  readonly version: string;
  readonly reason: string;
  readonly fromRevision: number;
};

/** The rollout of each model; a deleted one stays without its spec, so that revisions never repeat. */
export function createRolloutTable<Name extends string>(
  schema: PgSchema<Name>,
  models: ModelTables['models'],
) {
  return schema.table('rollouts', {
    modelId: uuid('model_id')
      .primaryKey()
      .references(() => models.id, { onDelete: 'cascade' }),
    revision: integer().notNull(),
    spec: jsonb().$type<RolloutSpec>(),
    /** Which buckets belong to which version: kept, so that the next change moves no more than it must. */
    buckets: jsonb().$type<readonly BucketRange[]>(),
    /** Set while the present revision is one that a rollback made. */
    rolledBack: jsonb('rolled_back').$type<Rollback>(),
    updatedAt: timestamp('updated_at', { withTimezone: true }).notNull().defaultNow(),
    updatedBy: text('updated_by').notNull(),
  });
}

export type RolloutTable = ReturnType<typeof createRolloutTable<string>>;
type Row = RolloutTable['$inferSelect'];
/** A rollout in force. */
export type RolloutRow = Row & { readonly spec: RolloutSpec };
