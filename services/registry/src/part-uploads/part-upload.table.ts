import { partUploadColumns } from '@millrace/uploads/tables';
import { sql } from 'drizzle-orm';
import type { PgSchema } from 'drizzle-orm/pg-core';
import { index, uuid } from 'drizzle-orm/pg-core';

/** Uploads of models in parts. `fields` are the text fields, as a form has them. */
export function createPartUploadTable<Name extends string>(schema: PgSchema<Name>) {
  return schema.table(
    'part_uploads',
    {
      ...partUploadColumns(),
      modelVersionId: uuid('model_version_id'),
      importId: uuid('import_id'),
    },
    (table) => [
      index('part_uploads_tenant').on(table.tenant, table.id),
      index('part_uploads_due').on(table.expiresAt).where(sql`${table.state} in ('open', 'completing')`),
    ],
  );
}

export type PartUploadTable = ReturnType<typeof createPartUploadTable<string>>;
export type PartUploadRow = PartUploadTable['$inferSelect'];
