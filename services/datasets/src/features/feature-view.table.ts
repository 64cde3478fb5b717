import type { FeatureEntity, FeatureSpec } from '@millrace/contracts';
import { sql } from 'drizzle-orm';
import type { PgSchema } from 'drizzle-orm/pg-core';
import {
  bigint,
  index,
  integer,
  json,
  jsonb,
  primaryKey,
  text,
  timestamp,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';

/** Views and the newest row of each of their entities. All rows, `feature_history`, are partitioned: see the migration. */
export function createFeatureTables<Name extends string>(schema: PgSchema<Name>) {
  const featureViews = schema.table(
    'feature_views',
    {
      id: uuid().primaryKey(),
      tenant: text().notNull(),
      name: text().notNull(),
      description: text().notNull(),
      owner: text().notNull(),
      entity: text().notNull(),
      keyType: text('key_type').$type<FeatureEntity['keyType']>().notNull(),
      /** In the order they were added. */
      features: jsonb().$type<FeatureSpec[]>().notNull(),
      ttlSeconds: integer('ttl_seconds'),
      revision: integer().notNull(),
      createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
      updatedAt: timestamp('updated_at', { withTimezone: true }).notNull().defaultNow(),
      updatedBy: text('updated_by').notNull(),
      /** Gone for everybody; its rows are being removed. */
      deletedAt: timestamp('deleted_at', { withTimezone: true }),
    },
    (table) => [
      uniqueIndex('feature_views_name').on(table.tenant, table.name).where(sql`deleted_at is null`),
      index('feature_views_deleted').on(table.deletedAt).where(sql`deleted_at is not null`),
    ],
  );
  const featureValues = schema.table(
    'feature_values',
    {
      viewId: uuid('view_id').notNull(),
      entity: text().notNull(),
      eventUs: bigint('event_us', { mode: 'number' }).notNull(),
      createdUs: bigint('created_us', { mode: 'number' }).notNull(),
      seq: bigint({ mode: 'number' }).notNull(),
      /** Values by feature, without those that are null. */
      body: json().$type<Record<string, unknown>>().notNull(),
    },
    (table) => [primaryKey({ columns: [table.viewId, table.entity] })],
  );
  return { featureViews, featureValues };
}

export type FeatureTables = ReturnType<typeof createFeatureTables<string>>;
export type FeatureViewRow = FeatureTables['featureViews']['$inferSelect'];
