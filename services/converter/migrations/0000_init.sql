CREATE SCHEMA "converter";
--> statement-breakpoint
CREATE TABLE "converter"."aggregate_versions" (
	"aggregate" text NOT NULL,
	"aggregate_id" text NOT NULL,
	"version" bigint NOT NULL,
	CONSTRAINT "aggregate_versions_aggregate_aggregate_id_pk" PRIMARY KEY("aggregate","aggregate_id")
);
--> statement-breakpoint
CREATE TABLE "converter"."inbox" (
	"consumer" text NOT NULL,
	"message_id" text NOT NULL,
	"at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "inbox_consumer_message_id_pk" PRIMARY KEY("consumer","message_id")
);
--> statement-breakpoint
CREATE TABLE "converter"."job_logs" (
	"job_id" uuid NOT NULL,
	"seq" bigint NOT NULL,
	"fence" bigint NOT NULL,
	"time" timestamp with time zone NOT NULL,
	"level" text NOT NULL,
	"message" text NOT NULL,
	CONSTRAINT "job_logs_job_id_seq_pk" PRIMARY KEY("job_id","seq")
);
--> statement-breakpoint
CREATE TABLE "converter"."jobs" (
	"id" uuid PRIMARY KEY NOT NULL,
	"kind" text NOT NULL,
	"pool" text NOT NULL,
	"tenant" text DEFAULT 'default' NOT NULL,
	"state" text DEFAULT 'queued' NOT NULL,
	"spec" jsonb NOT NULL,
	"spec_sha256" text NOT NULL,
	"idempotency_key" text,
	"fence" bigint DEFAULT 0 NOT NULL,
	"attempts" integer DEFAULT 0 NOT NULL,
	"max_attempts" integer NOT NULL,
	"lease_owner" text,
	"lease_until" timestamp with time zone,
	"last_step" bigint DEFAULT 0 NOT NULL,
	"last_checkpoint" jsonb,
	"progress" jsonb,
	"result" jsonb,
	"error" jsonb,
	"retry_of" uuid,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"started_at" timestamp with time zone,
	"finished_at" timestamp with time zone,
	"emitted_at" timestamp with time zone DEFAULT now() NOT NULL,
	"emits" integer DEFAULT 1 NOT NULL
);
--> statement-breakpoint
CREATE TABLE "converter"."outbox" (
	"id" uuid PRIMARY KEY NOT NULL,
	"seq" bigserial NOT NULL,
	"aggregate" text NOT NULL,
	"aggregate_id" text NOT NULL,
	"aggregate_version" bigint NOT NULL,
	"subject" text NOT NULL,
	"headers" jsonb NOT NULL,
	"payload" "bytea" NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"attempts" integer DEFAULT 0 NOT NULL,
	"next_at" timestamp with time zone DEFAULT now() NOT NULL,
	"published_at" timestamp with time zone,
	"stream_seq" bigint
);
--> statement-breakpoint
CREATE TABLE "converter"."workers" (
	"id" text PRIMARY KEY NOT NULL,
	"pool" text NOT NULL,
	"kinds" jsonb NOT NULL,
	"devices" jsonb NOT NULL,
	"environment_digest" text NOT NULL,
	"version" text NOT NULL,
	"host" text NOT NULL,
	"seen_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE INDEX "inbox_at" ON "converter"."inbox" USING btree ("at");--> statement-breakpoint
CREATE UNIQUE INDEX "jobs_idempotency" ON "converter"."jobs" USING btree ("tenant","idempotency_key") WHERE idempotency_key is not null;--> statement-breakpoint
CREATE INDEX "jobs_open" ON "converter"."jobs" USING btree ("state","lease_until") WHERE state in ('queued','running','cancelling');--> statement-breakpoint
CREATE INDEX "jobs_by_time" ON "converter"."jobs" USING btree ("created_at","id");--> statement-breakpoint
CREATE INDEX "outbox_unpublished" ON "converter"."outbox" USING btree ("seq") WHERE published_at is null;--> statement-breakpoint
CREATE UNIQUE INDEX "outbox_aggregate_version" ON "converter"."outbox" USING btree ("aggregate","aggregate_id","aggregate_version");