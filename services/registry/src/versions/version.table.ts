import type { Stage } from '@millrace/contracts';
import type { PackageManifest, SignatureBundle, StatementName } from '@millrace/integrity';
import type { TensorSpec } from '@millrace/onnx';
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
import type { Tags } from '../models/model.table.ts';

/** Where a version comes from: the ids and digests of its pipeline, or who uploaded it. */
export type Lineage = Readonly<Record<string, unknown>>;

/** Packages (bytes, by digest) and the versions of models that are made of them. */
export function createVersionTables<Name extends string>(schema: PgSchema<Name>) {
  /** A signed set of files; two versions of equal bytes share one. */
  const packages = schema.table('packages', {
    packageDigest: text('package_digest').primaryKey(),
    rootDigest: text('root_digest').notNull(),
    manifest: jsonb().$type<PackageManifest>().notNull(),
    signature: jsonb().$type<SignatureBundle>().notNull(),
    keyId: text('key_id').notNull(),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
  });
  const packageFiles = schema.table(
    'package_files',
    {
      packageDigest: text('package_digest')
        .notNull()
        .references(() => packages.packageDigest),
      path: text().notNull(),
      sha256: text().notNull(),
      sizeBytes: bigint('size_bytes', { mode: 'number' }).notNull(),
    },
    (table) => [
      primaryKey({ columns: [table.packageDigest, table.path] }),
      index('package_files_sha256').on(table.sha256),
    ],
  );
  const modelVersions = schema.table(
    'model_versions',
    {
      id: uuid().primaryKey(),
      modelId: uuid('model_id').notNull(),
      label: text().notNull(),
      ordinal: integer().notNull(),
      stage: text().$type<Stage>().notNull(),
      stageChangedAt: timestamp('stage_changed_at', { withTimezone: true }).notNull().defaultNow(),
      framework: text().notNull(),
      packageDigest: text('package_digest')
        .notNull()
        .references(() => packages.packageDigest),
      modelDigest: text('model_digest').notNull(),
      /** SHA-256 of the ONNX file as it came, or of the list of other files; decides whether two uploads are the same. */
      graphSha256: text('graph_sha256').notNull(),
      servingFile: text('serving_file').notNull(),
      /** Signed statement that binds the names of the version to its package; null from before there was one. */
      identity: jsonb().$type<SignatureBundle>(),
      inputs: jsonb().$type<readonly TensorSpec[]>().notNull(),
      outputs: jsonb().$type<readonly TensorSpec[]>().notNull(),
      /** As the uploader wrote it. */
      inputSchema: text('input_schema'),
      outputSchema: text('output_schema'),
      metadata: text(),
      description: text().notNull().default(''),
      tags: jsonb().$type<Tags>().notNull().default({}),
      lineage: jsonb().$type<Lineage>().notNull(),
      metrics: jsonb().$type<Readonly<Record<string, unknown>>>().notNull(),
      createdBy: text('created_by').notNull(),
      createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
      updatedAt: timestamp('updated_at', { withTimezone: true }).notNull().defaultNow(),
    },
    (table) => [
      uniqueIndex('model_versions_label').on(table.modelId, table.label),
      uniqueIndex('model_versions_ordinal').on(table.modelId, table.ordinal),
      index('model_versions_digest').on(table.modelId, table.modelDigest),
      index('model_versions_package').on(table.packageDigest),
      index('model_versions_model_digest').on(table.modelDigest),
    ],
  );
  /** Signed statements about a version: how it was made and converted, and its measured properties. */
  const attestations = schema.table(
    'attestations',
    {
      modelVersionId: uuid('model_version_id')
        .notNull()
        .references(() => modelVersions.id, { onDelete: 'cascade' }),
      name: text().$type<StatementName>().notNull(),
      predicateType: text('predicate_type').notNull(),
      bundle: jsonb().$type<SignatureBundle>().notNull(),
      createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
    },
    (table) => [primaryKey({ columns: [table.modelVersionId, table.name] })],
  );
  return { packages, packageFiles, modelVersions, attestations };
}

export type VersionTables = ReturnType<typeof createVersionTables<string>>;
export type VersionRow = VersionTables['modelVersions']['$inferSelect'];
export type PackageRow = VersionTables['packages']['$inferSelect'];
export type AttestationRow = VersionTables['attestations']['$inferSelect'];
