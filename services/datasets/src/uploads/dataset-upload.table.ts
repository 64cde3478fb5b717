import { partUploadColumns, unfinished } from '@millrace/uploads/tables';
import type { PgSchema } from 'drizzle-orm/pg-core';
import { index, text, uniqueIndex, uuid } from 'drizzle-orm/pg-core';

/** Uploads of files of a dataset in parts. */
export function createDatasetUploadTable<Name extends string>(schema: PgSchema<Name>) {
  return schema.table(
    'part_uploads',
    {
      ...partUploadColumns(),
      datasetId: uuid('dataset_id').notNull(),
      /** Digest of dataset and files: whoever asks for the same while it is unfinished goes on with it. */
      requestSha256: text('request_sha256').notNull(),
      /** The version that it became. */
      versionId: uuid('version_id'),
    },
    (table) => [
      index('part_uploads_dataset').on(table.datasetId, table.id),
      index('part_uploads_due').on(table.expiresAt).where(unfinished),
      uniqueIndex('part_uploads_request').on(table.tenant, table.requestSha256).where(unfinished),
    ],
  );
}

export type DatasetUploadTable = ReturnType<typeof createDatasetUploadTable<string>>;
export type DatasetUploadRow = DatasetUploadTable['$inferSelect'];
