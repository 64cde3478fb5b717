import type { ArtifactRef, IngestOptions, IngestSource, QualityPolicy, WireError } from '@millrace/contracts';
import { sql } from 'drizzle-orm';
import type { PgSchema } from 'drizzle-orm/pg-core';
import {
  bigint,
  index,
  integer,
  jsonb,
  primaryKey,
  text,
  timestamp,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';

/** A training set of the feature store: which views it was joined from, and how. */
export type FeaturesSource = {
  type: 'features';
  known: 'created' | 'event';
  views: { viewId: string; view: string; ttlSeconds: number | null; features: string[] }[];
  /** The version whose rows it has; none when a request brought them. */
  source?: Record<string, unknown>;
};

/** Where the files of a version come from. */
export type VersionSource =
  | { type: 'generator'; recipe: string; recipeVersion: string; params: Record<string, unknown> }
  | { type: 'upload' }
  | FeaturesSource
  | { type: 'ingest'; source: IngestSource; options: IngestOptions };

/** Datasets and their immutable versions. */
export function createDatasetTables<Name extends string>(schema: PgSchema<Name>) {
  const datasets = schema.table(
    'datasets',
    {
      id: uuid().primaryKey(),
      tenant: text().notNull().default('default'),
      name: text().notNull(),
      description: text().notNull().default(''),
      /** What is done about findings of an ingestion that says nothing else. */
      quality: jsonb().$type<QualityPolicy>().notNull().default({}),
      createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
    },
    (table) => [uniqueIndex('datasets_name').on(table.tenant, table.name)],
  );
  const datasetVersions = schema.table(
    'dataset_versions',
    {
      id: uuid().primaryKey(),
      datasetId: uuid('dataset_id')
        .notNull()
        .references(() => datasets.id),
      ordinal: integer().notNull(),
      state: text().$type<'pending' | 'ready' | 'failed'>().notNull(),
      source: jsonb().$type<VersionSource>().notNull(),
      /** Digest of the source: an equal one that is ready or on its way is reused. */
      sourceSha256: text('source_sha256').notNull(),
      digest: text(),
      files: jsonb().$type<ArtifactRef[]>(),
      sizeBytes: bigint('size_bytes', { mode: 'number' }),
      meta: jsonb().$type<Record<string, unknown>>(),
      jobId: uuid('job_id'),
      error: jsonb().$type<WireError>(),
      createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
      readyAt: timestamp('ready_at', { withTimezone: true }),
    },
    (table) => [
      uniqueIndex('dataset_versions_ordinal').on(table.datasetId, table.ordinal),
      uniqueIndex('dataset_versions_source')
        .on(table.datasetId, table.sourceSha256)
        .where(sql`state <> 'failed'`),
      index('dataset_versions_job').on(table.jobId),
    ],
  );
  /** Who waits for a version (pipeline ids). */
  const versionRequests = schema.table(
    'version_requests',
    {
      versionId: uuid('version_id')
        .notNull()
        .references(() => datasetVersions.id),
      requestId: uuid('request_id').notNull(),
    },
    (table) => [primaryKey({ columns: [table.versionId, table.requestId] })],
  );
  return { datasets, datasetVersions, versionRequests };
}

export type DatasetTables = ReturnType<typeof createDatasetTables<string>>;
export type DatasetRow = DatasetTables['datasets']['$inferSelect'];
export type VersionRow = DatasetTables['datasetVersions']['$inferSelect'];
