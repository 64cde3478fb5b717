CREATE TABLE "monitoring"."erasures" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"user_digest" text NOT NULL,
	"principal" text NOT NULL,
	"predictions" bigint NOT NULL,
	"feedback" bigint NOT NULL,
	"erased_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "monitoring"."rollups" (
	"tenant" text NOT NULL,
	"model" text NOT NULL,
	"model_version_id" uuid NOT NULL,
	"version" text NOT NULL,
	"stage" text NOT NULL,
	"width_seconds" integer NOT NULL,
	"start_at" timestamp with time zone NOT NULL,
	"predictions" bigint NOT NULL,
	"latency_ns" bigint NOT NULL,
	"confidences" bigint NOT NULL,
	"confidence_nano" bigint NOT NULL,
	"confidence_bins" bigint[] NOT NULL,
	"size_bytes" bigint NOT NULL,
	"judged" bigint NOT NULL,
	"correct" bigint NOT NULL,
	"latency_keys" integer[] NOT NULL,
	"latency_counts" bigint[] NOT NULL,
	CONSTRAINT "rollups_pkey" PRIMARY KEY("tenant","model","width_seconds","start_at","model_version_id","stage")
);
--> statement-breakpoint
CREATE TABLE "monitoring"."version_stages" (
	"model_version_id" uuid NOT NULL,
	"since" timestamp with time zone NOT NULL,
	"stage" text NOT NULL,
	CONSTRAINT "version_stages_model_version_id_since_pk" PRIMARY KEY("model_version_id","since")
);
--> statement-breakpoint
ALTER TABLE "monitoring"."feedback" ADD COLUMN "prediction_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "monitoring"."feedback" ADD COLUMN "model_version_id" uuid;--> statement-breakpoint
ALTER TABLE "monitoring"."feedback" ADD COLUMN "model" text;--> statement-breakpoint
ALTER TABLE "monitoring"."feedback" ADD COLUMN "version" text;--> statement-breakpoint
ALTER TABLE "monitoring"."feedback" ADD COLUMN "stage" text;--> statement-breakpoint
ALTER TABLE "monitoring"."feedback" ADD COLUMN "confidence" double precision;--> statement-breakpoint
ALTER TABLE "monitoring"."feedback" ADD COLUMN "kind" text;--> statement-breakpoint
ALTER TABLE "monitoring"."feedback" ADD COLUMN "truth" text;--> statement-breakpoint
ALTER TABLE "monitoring"."feedback" ADD COLUMN "predicted" text;--> statement-breakpoint
ALTER TABLE "monitoring"."feedback" ADD COLUMN "truth_index" integer;--> statement-breakpoint
ALTER TABLE "monitoring"."feedback" ADD COLUMN "scores" double precision[];--> statement-breakpoint
ALTER TABLE "monitoring"."feedback" ADD COLUMN "predicted_probability" double precision;--> statement-breakpoint
ALTER TABLE "monitoring"."feedback" ADD COLUMN "truth_probability" double precision;--> statement-breakpoint
ALTER TABLE "monitoring"."feedback" ADD COLUMN "brier" double precision;--> statement-breakpoint
ALTER TABLE "monitoring"."feedback" ADD COLUMN "truth_value" double precision;--> statement-breakpoint
ALTER TABLE "monitoring"."feedback" ADD COLUMN "predicted_value" double precision;--> statement-breakpoint
ALTER TABLE "monitoring"."feedback" ADD COLUMN "is_contradictory" boolean DEFAULT false NOT NULL;--> statement-breakpoint
CREATE INDEX "erasures_tenant" ON "monitoring"."erasures" USING btree ("tenant","erased_at" DESC NULLS FIRST,"id" DESC NULLS FIRST);--> statement-breakpoint
CREATE INDEX "erasures_user" ON "monitoring"."erasures" USING btree ("tenant","user_digest","erased_at" DESC NULLS FIRST);--> statement-breakpoint
CREATE INDEX "rollups_age" ON "monitoring"."rollups" USING btree ("width_seconds","start_at");--> statement-breakpoint
CREATE INDEX "feedback_model_time" ON "monitoring"."feedback" USING btree ("tenant","model","prediction_at" DESC NULLS FIRST) WHERE is_matched;--> statement-breakpoint
-- The table of predictions is partitioned, which drizzle cannot declare. Constant defaults rewrite no partition.
ALTER TABLE "monitoring"."predictions" ADD COLUMN "stage" text DEFAULT 'unknown' NOT NULL;--> statement-breakpoint
ALTER TABLE "monitoring"."predictions" ADD COLUMN "size_bytes" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
-- Updates rewrite the arrays of a row each time; room on its page keeps them from touching the indexes.
ALTER TABLE "monitoring"."rollups" SET (fillfactor = 60);--> statement-breakpoint
-- Feedback that was joined before is joined again by the service, which counts it then.
UPDATE "monitoring"."feedback" SET "is_matched" = false WHERE "is_matched";--> statement-breakpoint
-- Roll-ups of the predictions that are there already, as rollups/rollup-counts.ts makes them.
INSERT INTO "monitoring"."rollups" ("tenant", "model", "model_version_id", "version", "stage", "width_seconds", "start_at",
  "predictions", "latency_ns", "confidences", "confidence_nano", "confidence_bins", "size_bytes", "judged", "correct",
  "latency_keys", "latency_counts")
WITH "rows" AS (
  SELECT p.tenant, p.model, p.model_version_id, p.version, p.stage, w.width_seconds, p.latency_ms, p.confidence,
    p.size_bytes, date_bin(make_interval(secs => w.width_seconds), p.at, '1970-01-01T00:00:00Z') AS start_at,
    CASE WHEN p.confidence IS NOT NULL THEN least(19, greatest(0, floor(p.confidence * 20)))::int END AS place,
    ceil(ln(least(greatest(p.latency_ms, 0.001), 10000000)) / 0.020000666706669435)::int AS key
  FROM "monitoring"."predictions" p CROSS JOIN (VALUES (60), (3600), (86400)) AS w(width_seconds)
), "bins" AS (
  SELECT tenant, model, model_version_id, stage, width_seconds, start_at, key, max(version) AS version,
    count(*) AS predictions, sum(floor(least(latency_ms, 10000000) * 1e6 + 0.5)::bigint) AS latency_ns,
    count(confidence) AS confidences,
    coalesce(sum(floor(least(greatest(confidence, -1000000), 1000000) * 1e9 + 0.5)::bigint)
      FILTER (WHERE confidence IS NOT NULL), 0) AS confidence_nano,
    sum(size_bytes) AS size_bytes,
    count(*) FILTER (WHERE place = 0) AS b0, count(*) FILTER (WHERE place = 1) AS b1,
    count(*) FILTER (WHERE place = 2) AS b2, count(*) FILTER (WHERE place = 3) AS b3,
    count(*) FILTER (WHERE place = 4) AS b4, count(*) FILTER (WHERE place = 5) AS b5,
    count(*) FILTER (WHERE place = 6) AS b6, count(*) FILTER (WHERE place = 7) AS b7,
    count(*) FILTER (WHERE place = 8) AS b8, count(*) FILTER (WHERE place = 9) AS b9,
    count(*) FILTER (WHERE place = 10) AS b10, count(*) FILTER (WHERE place = 11) AS b11,
    count(*) FILTER (WHERE place = 12) AS b12, count(*) FILTER (WHERE place = 13) AS b13,
    count(*) FILTER (WHERE place = 14) AS b14, count(*) FILTER (WHERE place = 15) AS b15,
    count(*) FILTER (WHERE place = 16) AS b16, count(*) FILTER (WHERE place = 17) AS b17,
    count(*) FILTER (WHERE place = 18) AS b18, count(*) FILTER (WHERE place = 19) AS b19
  FROM "rows" GROUP BY tenant, model, model_version_id, stage, width_seconds, start_at, key
)
SELECT tenant, model, model_version_id, max(version), stage, width_seconds, start_at, sum(predictions), sum(latency_ns),
  sum(confidences), sum(confidence_nano),
  ARRAY[
    sum(b0), sum(b1), sum(b2), sum(b3), sum(b4), sum(b5), sum(b6), sum(b7), sum(b8), sum(b9), sum(b10),
    sum(b11), sum(b12), sum(b13), sum(b14), sum(b15), sum(b16), sum(b17), sum(b18), sum(b19)
  ],
  sum(size_bytes), 0, 0, array_agg(key ORDER BY key), array_agg(predictions ORDER BY key)
FROM "bins" GROUP BY tenant, model, model_version_id, stage, width_seconds, start_at;
