import type { WireError } from '@millrace/contracts';
import { sql } from 'drizzle-orm';
import { boolean, jsonb, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core';

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

/** Columns that every table of uploads in parts has; what an upload becomes is the owner's. */
export function partUploadColumns() {
  return {
    id: uuid().primaryKey(),
    tenant: text().notNull(),
    createdBy: text('created_by').notNull(),
    /** What was said of the files when it was begun. */
    fields: jsonb().$type<Readonly<Record<string, string>>>().notNull(),
    files: jsonb().$type<readonly PartFile[]>().notNull(),
    state: text().$type<PartUploadState>().notNull().default('open'),
    /** While it is `completing`: until when whoever does it has said that it is at work. */
    claimedUntil: timestamp('claimed_until', { withTimezone: true }),
    isReused: boolean('is_reused').notNull().default(false),
    error: jsonb().$type<WireError>(),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
    expiresAt: timestamp('expires_at', { withTimezone: true }).notNull(),
    finishedAt: timestamp('finished_at', { withTimezone: true }),
  };
}

/** Uploads that are not over, as a condition of an index. */
export const unfinished = sql.raw(`state in ('open', 'completing')`);

/** Stands for the table of any owner in the repository's queries; it is in no database. */
const anyTable = pgTable('part_uploads', partUploadColumns());
export type PartUploadTable = typeof anyTable;
export type PartUploadRow = PartUploadTable['$inferSelect'];
