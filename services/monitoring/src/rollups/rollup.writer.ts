import type { PoolClient } from 'pg';
import type { RollupIncrement } from './rollup-counts.ts';

/** Whose roll-ups they are. */
export type RollupVersion = {
  readonly tenant: string;
  readonly modelVersionId: string;
  readonly model: string;
  readonly version: string;
};

// Rows come in one order, so that transactions which touch the same ones wait for each other and never in a circle.
const ADD = `
  insert into monitoring.rollups as r (tenant, model, model_version_id, version, stage, width_seconds, start_at,
    predictions, latency_ns, confidences, confidence_nano, confidence_bins, size_bytes, judged, correct,
    latency_keys, latency_counts)
  select $1, $2, $3, $4, i."stage", i."widthSeconds", i."startAt", i."predictions", i."latencyNs", i."confidences",
    i."confidenceNano", i."confidenceBins", i."sizeBytes", i."judged", i."correct", i."latencyKeys", i."latencyCounts"
  from jsonb_to_recordset($5) as i("stage" text, "widthSeconds" int, "startAt" timestamptz, "predictions" bigint,
    "latencyNs" bigint, "confidences" bigint, "confidenceNano" bigint, "confidenceBins" bigint[], "sizeBytes" bigint,
    "judged" bigint, "correct" bigint, "latencyKeys" int[], "latencyCounts" bigint[])
  order by i."widthSeconds", i."startAt", i."stage"
  on conflict (tenant, model, width_seconds, start_at, model_version_id, stage) do update set
    predictions = r.predictions + excluded.predictions,
    latency_ns = r.latency_ns + excluded.latency_ns,
    confidences = r.confidences + excluded.confidences,
    confidence_nano = r.confidence_nano + excluded.confidence_nano,
    confidence_bins = (
      select array_agg(a + b order by place)
      from unnest(r.confidence_bins, excluded.confidence_bins) with ordinality as t(a, b, place)
    ),
    size_bytes = r.size_bytes + excluded.size_bytes,
    judged = r.judged + excluded.judged,
    correct = r.correct + excluded.correct,
    (latency_keys, latency_counts) = (
      select coalesce(array_agg(key order by key), '{}'), coalesce(array_agg(count order by key), '{}')
      from (
        select key, sum(count)::bigint as count
        from (
          select * from unnest(r.latency_keys, r.latency_counts)
          union all
          select * from unnest(excluded.latency_keys, excluded.latency_counts)
        ) as bins(key, count)
        group by key
      ) as merged
    )`;

/** Adds to the roll-ups of a version, in the transaction of `client`. */
export async function addToRollups(
  client: PoolClient,
  { tenant, model, modelVersionId, version }: RollupVersion,
  increments: readonly RollupIncrement[],
): Promise<void> {
  if (increments.length === 0) return;
  const rows = increments.map(({ sketch, ...counts }) => {
    const bins = [...sketch].sort(([a], [b]) => a - b);
    return {
      ...counts,
      latencyKeys: bins.map(([key]) => key),
      latencyCounts: bins.map(([, count]) => count),
    };
  });
  await client.query(ADD, [tenant, model, modelVersionId, version, JSON.stringify(rows)]);
}
