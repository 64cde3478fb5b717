import type { PgSchema } from 'drizzle-orm/pg-core';
import { bigint, customType, index, integer, primaryKey, text, timestamp } from 'drizzle-orm/pg-core';

/** Text in the order of its bytes, so that the files of a folder are one range of an index. */
const byteText = customType<{ data: string }>({ dataType: () => 'text collate "C"' });

/** Files of runs and logged models: a path points to an object that nobody writes a second time. */
export function createArtifactTables<Name extends string>(schema: PgSchema<Name>) {
  const createdAt = () => timestamp('created_at', { withTimezone: true }).notNull().defaultNow();
  const artifacts = schema.table(
    'artifacts',
    {
      tenant: text().notNull(),
      /** `<experiment>/<run>/artifacts/…`, without a slash in front. */
      path: byteText().notNull(),
      objectKey: text('object_key').notNull(),
      sizeBytes: bigint('size_bytes', { mode: 'number' }).notNull(),
      /** Unknown for a file whose parts went to the object store directly. */
      sha256: text(),
      createdAt: createdAt(),
    },
    (table) => [primaryKey({ columns: [table.tenant, table.path] })],
  );
  /** Uploads in parts that are under way. */
  const artifactUploads = schema.table('artifact_uploads', {
    uploadId: text('upload_id').primaryKey(),
    tenant: text().notNull(),
    path: text().notNull(),
    objectKey: text('object_key').notNull(),
    parts: integer().notNull(),
    createdAt: createdAt(),
  });
  /** Objects that no path points to: being written, or replaced, or left by a crash; a sweep removes old ones. */
  const artifactGarbage = schema.table(
    'artifact_garbage',
    { objectKey: text('object_key').primaryKey(), createdAt: createdAt() },
    (table) => [index('artifact_garbage_by_age').on(table.createdAt)],
  );
  return { artifacts, artifactUploads, artifactGarbage };
}

export type ArtifactTables = ReturnType<typeof createArtifactTables<string>>;
