import type { WireError } from '@millrace/contracts';
import { sql } from 'drizzle-orm';
import type { PgSchema } from 'drizzle-orm/pg-core';
import { boolean, index, jsonb, text, timestamp, uuid } from 'drizzle-orm/pg-core';

/** `open` takes parts; `completing` is being read back and taken in; the others are its ends. */
export type PartUploadState = 'open' | 'completing' | 'completed' | 'failed' | 'aborted' | 'expired';

/** A file that is sent in parts straight to the object store. */
export type PartFile = {
  readonly name: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly partSizeBytes: number;
  /** SHA-256 of each part. */
  readonly partDigests: readonly string[];
  /** Where it lies until it was taken in, and the object store's id of its upload. */
  readonly key: string;
  readonly storageUploadId: string;
};

/** Uploads of models in parts. */
export function createPartUploadTable<Name extends string>(schema: PgSchema<Name>) {
  return schema.table(
    'part_uploads',
    {
      id: uuid().primaryKey(),
      tenant: text().notNull(),
      createdBy: text('created_by').notNull(),
      /** The text fields, as a form has them. */
      fields: jsonb().$type<Readonly<Record<string, string>>>().notNull(),
      files: jsonb().$type<readonly PartFile[]>().notNull(),
      state: text().$type<PartUploadState>().notNull().default('open'),
      /** While it is `completing`: until when whoever does it has said that it is at work. */
      claimedUntil: timestamp('claimed_until', { withTimezone: true }),
      modelVersionId: uuid('model_version_id'),
      importId: uuid('import_id'),
      isReused: boolean('is_reused').notNull().default(false),
      error: jsonb().$type<WireError>(),
      createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
      expiresAt: timestamp('expires_at', { withTimezone: true }).notNull(),
      finishedAt: timestamp('finished_at', { withTimezone: true }),
    },
    (table) => [
      index('part_uploads_tenant').on(table.tenant, table.id),
      index('part_uploads_due').on(table.expiresAt).where(sql`${table.state} in ('open', 'completing')`),
    ],
  );
}

export type PartUploadTable = ReturnType<typeof createPartUploadTable<string>>;
export type PartUploadRow = PartUploadTable['$inferSelect'];
