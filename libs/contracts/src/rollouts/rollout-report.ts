import type { Static } from 'typebox';
import Type from 'typebox';
import { Uuid } from '../primitives.ts';

/** Latencies are counted in buckets, each this many times as wide as the one before: exact to 5 percent. */
const GROWTH = 1.05;
const LATENCY_MS_MIN = 0.01;
const LATENCY_BUCKETS = 340;

/** The bucket of a latency (ms); the last one holds everything from about two minutes on. */
export function latencyBucket(latencyMs: number): number {
  if (!(latencyMs > LATENCY_MS_MIN)) return 0;
  return Math.min(LATENCY_BUCKETS - 1, Math.ceil(Math.log(latencyMs / LATENCY_MS_MIN) / Math.log(GROWTH)));
}

/** The upper end of a bucket (ms). */
export function bucketLatencyMs(bucket: number): number {
  return LATENCY_MS_MIN * GROWTH ** bucket;
}

const Count = Type.Integer({ minimum: 0 });

/** What one version did in one process since a revision of its rollout came into force there. */
const RolloutVersionCounts = Type.Object({
  version: Type.String({ minLength: 1, maxLength: 255 }),
  requests: Count,
  /** Requests that failed, and not by the caller's fault. */
  errors: Count,
  /** Answers by bucket of their latency. */
  latencies: Type.Array(
    Type.Object({ bucket: Type.Integer({ minimum: 0, maximum: LATENCY_BUCKETS - 1 }), count: Count }),
    { maxItems: LATENCY_BUCKETS },
  ),
});
export type RolloutVersionCounts = Static<typeof RolloutVersionCounts>;

/** Copies of requests at the shadow version: `offered = compared + failed + incomparable + dropped` once all are done. */
export const ShadowCounts = Type.Object({
  version: Type.String({ minLength: 1, maxLength: 255 }),
  offered: Count,
  compared: Count,
  /** The shadow version could not be loaded or gave an error. */
  failed: Count,
  /** Inputs or outputs of the two versions do not fit each other. */
  incomparable: Count,
  /** Left out because of the bounds on copies. */
  dropped: Count,
  /** Largest difference of a value. */
  maxAbs: Type.Number({ minimum: 0 }),
  /** Sum over the compared requests of the mean difference of their values. */
  meanAbsSum: Type.Number({ minimum: 0 }),
  /** Labels, and those that were the same. */
  labels: Count,
  labelsEqual: Count,
});
export type ShadowCounts = Static<typeof ShadowCounts>;

/**
 * Counts of one process for one rollout, on `millrace.ctl.rollout.<modelId>`: sums since `since`, so that a report that
 * is lost costs nothing.
 */
export const RolloutReport = Type.Object({
  source: Uuid,
  modelId: Uuid,
  revision: Type.Integer({ minimum: 1 }),
  /** When this process began to count (ms since 1970). */
  since: Type.Integer({ minimum: 0 }),
  versions: Type.Array(RolloutVersionCounts, { maxItems: 64 }),
  shadow: Type.Optional(ShadowCounts),
});
export type RolloutReport = Static<typeof RolloutReport>;

/** Subject of the reports of a model, and the pattern of all. */
export const rolloutReportSubject = (modelId: string): string => `millrace.ctl.rollout.${modelId}`;
