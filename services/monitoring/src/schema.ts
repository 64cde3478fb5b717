import { createBusTables } from '@millrace/bus';
import { sql } from 'drizzle-orm';
import {
  bigint,
  bigserial,
  boolean,
  index,
  jsonb,
  pgSchema,
  primaryKey,
  text,
  timestamp,
  uuid,
} from 'drizzle-orm/pg-core';

export const monitoringSchema = pgSchema('monitoring');
export const busTables = createBusTables(monitoringSchema);
export const { outbox, aggregateVersions, inbox } = busTables;

// The table `predictions` is partitioned by day, which drizzle cannot declare: see the second migration.

/** The outcome of a prediction as the last feedback tells it; the prediction may arrive later. */
export const feedback = monitoringSchema.table(
  'feedback',
  {
    inferenceId: uuid('inference_id').notNull(),
    /** Whose feedback it is: it says nothing of a prediction of another tenant. */
    tenant: text().notNull().default('default'),
    outcome: jsonb().$type<unknown>(),
    correct: boolean(),
    receivedAt: timestamp('received_at', { withTimezone: true }).notNull().defaultNow(),
    /** The prediction was there when the feedback came, or came later. */
    isMatched: boolean('is_matched').notNull().default(false),
  },
  (table) => [
    primaryKey({ columns: [table.inferenceId, table.tenant] }),
    index('feedback_unmatched').on(table.receivedAt).where(sql`not is_matched`),
    index('feedback_received').on(table.receivedAt),
  ],
);

/** Every feedback that came, the corrected ones too. */
export const feedbackHistory = monitoringSchema.table(
  'feedback_history',
  {
    id: bigserial({ mode: 'number' }).primaryKey(),
    inferenceId: uuid('inference_id').notNull(),
    tenant: text().notNull().default('default'),
    outcome: jsonb().$type<unknown>(),
    correct: boolean(),
    principal: text().notNull(),
    receivedAt: timestamp('received_at', { withTimezone: true }).notNull().defaultNow(),
  },
  (table) => [index('feedback_history_inference').on(table.inferenceId)],
);

/** What each sender sent of each version: `max_sequence + 1 - batches` batches are missing. */
export const predictionSources = monitoringSchema.table(
  'prediction_sources',
  {
    source: uuid().notNull(),
    modelVersionId: uuid('model_version_id').notNull(),
    tenant: text().notNull().default('default'),
    model: text().notNull(),
    version: text().notNull(),
    batches: bigint({ mode: 'number' }).notNull(),
    maxSequence: bigint('max_sequence', { mode: 'number' }).notNull(),
    stored: bigint({ mode: 'number' }).notNull(),
    dropped: bigint({ mode: 'number' }).notNull(),
    lastAt: timestamp('last_at', { withTimezone: true }).notNull().defaultNow(),
  },
  (table) => [primaryKey({ columns: [table.source, table.modelVersionId] })],
);
