import { createBusTables } from '@millrace/bus';
import { sql } from 'drizzle-orm';
import {
  bigint,
  bigserial,
  boolean,
  doublePrecision,
  index,
  integer,
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
    /** It was joined to its prediction and is counted; what follows was read of both then. */
    isMatched: boolean('is_matched').notNull().default(false),
    predictionAt: timestamp('prediction_at', { withTimezone: true }),
    modelVersionId: uuid('model_version_id'),
    model: text(),
    version: text(),
    stage: text(),
    /** That of the prediction. */
    confidence: doublePrecision(),
    /** `classification` or `regression`; null where outcome and prediction cannot be compared. */
    kind: text(),
    truth: text(),
    predicted: text(),
    /** Place of the truth among the scores. */
    truthIndex: integer('truth_index'),
    scores: doublePrecision().array(),
    predictedProbability: doublePrecision('predicted_probability'),
    truthProbability: doublePrecision('truth_probability'),
    brier: doublePrecision(),
    truthValue: doublePrecision('truth_value'),
    predictedValue: doublePrecision('predicted_value'),
    /** `correct` says something else than outcome and prediction do. */
    isContradictory: boolean('is_contradictory').notNull().default(false),
  },
  (table) => [
    primaryKey({ columns: [table.inferenceId, table.tenant] }),
    index('feedback_unmatched').on(table.receivedAt).where(sql`not is_matched`),
    index('feedback_received').on(table.receivedAt),
    index('feedback_model_time')
      .on(table.tenant, table.model, table.predictionAt.desc().nullsFirst())
      .where(sql`is_matched`),
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

/** Since when a version is at a stage, as the registry told. */
export const versionStages = monitoringSchema.table(
  'version_stages',
  {
    modelVersionId: uuid('model_version_id').notNull(),
    since: timestamp({ withTimezone: true }).notNull(),
    stage: text().notNull(),
  },
  (table) => [primaryKey({ columns: [table.modelVersionId, table.since] })],
);

/**
 * Sums of the predictions of one version at one stage within one minute, hour or day (UTC). Sums are whole numbers, so
 * that they do not depend on the order in which batches come.
 */
export const rollups = monitoringSchema.table(
  'rollups',
  {
    tenant: text().notNull(),
    model: text().notNull(),
    modelVersionId: uuid('model_version_id').notNull(),
    version: text().notNull(),
    stage: text().notNull(),
    /** 60, 3,600 or 86,400. */
    widthSeconds: integer('width_seconds').notNull(),
    startAt: timestamp('start_at', { withTimezone: true }).notNull(),
    predictions: bigint({ mode: 'number' }).notNull(),
    latencyNs: bigint('latency_ns', { mode: 'number' }).notNull(),
    confidences: bigint({ mode: 'number' }).notNull(),
    /** Sum of the confidences, in billionths. */
    confidenceNano: bigint('confidence_nano', { mode: 'number' }).notNull(),
    /** Counts of confidences in twenty equal parts of [0, 1]. */
    confidenceBins: bigint('confidence_bins', { mode: 'number' }).array().notNull(),
    sizeBytes: bigint('size_bytes', { mode: 'number' }).notNull(),
    /** Predictions whose feedback says `correct`, and those of them that were. */
    judged: bigint({ mode: 'number' }).notNull(),
    correct: bigint({ mode: 'number' }).notNull(),
    /** The sketch of the latencies: bins that are not empty, and their counts. */
    latencyKeys: integer('latency_keys').array().notNull(),
    latencyCounts: bigint('latency_counts', { mode: 'number' }).array().notNull(),
  },
  (table) => [
    primaryKey({
      name: 'rollups_pkey',
      columns: [
        table.tenant,
        table.model,
        table.widthSeconds,
        table.startAt,
        table.modelVersionId,
        table.stage,
      ],
    }),
    index('rollups_age').on(table.widthSeconds, table.startAt),
  ],
);

/** Whose data was erased, by whom and how much; the user only as a digest. */
export const erasures = monitoringSchema.table(
  'erasures',
  {
    id: uuid().primaryKey(),
    tenant: text().notNull(),
    userDigest: text('user_digest').notNull(),
    principal: text().notNull(),
    predictions: bigint({ mode: 'number' }).notNull(),
    feedback: bigint({ mode: 'number' }).notNull(),
    erasedAt: timestamp('erased_at', { withTimezone: true }).notNull(),
  },
  (table) => [
    index('erasures_tenant').on(
      table.tenant,
      table.erasedAt.desc().nullsFirst(),
      table.id.desc().nullsFirst(),
    ),
    index('erasures_user').on(table.tenant, table.userDigest, table.erasedAt.desc().nullsFirst()),
  ],
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
