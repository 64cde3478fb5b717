CREATE SCHEMA "datasets";
--> statement-breakpoint
CREATE TABLE "datasets"."aggregate_versions" (
	"aggregate" text NOT NULL,
	"aggregate_id" text NOT NULL,
	"version" bigint NOT NULL,
	CONSTRAINT "aggregate_versions_aggregate_aggregate_id_pk" PRIMARY KEY("aggregate","aggregate_id")
);
--> statement-breakpoint
CREATE TABLE "datasets"."dataset_versions" (
	"id" uuid PRIMARY KEY NOT NULL,
	"dataset_id" uuid NOT NULL,
	"ordinal" integer NOT NULL,
	"state" text NOT NULL,
	"source" jsonb NOT NULL,
	"source_sha256" text NOT NULL,
	"digest" text,
	"files" jsonb,
	"size_bytes" bigint,
	"meta" jsonb,
	"job_id" uuid,
	"error" jsonb,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"ready_at" timestamp with time zone
);
--> statement-breakpoint
CREATE TABLE "datasets"."datasets" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant" text DEFAULT 'default' NOT NULL,
	"name" text NOT NULL,
	"description" text DEFAULT '' NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "datasets"."inbox" (
	"consumer" text NOT NULL,
	"message_id" text NOT NULL,
	"at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "inbox_consumer_message_id_pk" PRIMARY KEY("consumer","message_id")
);
--> statement-breakpoint
CREATE TABLE "datasets"."job_logs" (
	"job_id" uuid NOT NULL,
	"seq" bigint NOT NULL,
	"fence" bigint NOT NULL,
	"time" timestamp with time zone NOT NULL,
	"level" text NOT NULL,
	"message" text NOT NULL,
	CONSTRAINT "job_logs_job_id_seq_pk" PRIMARY KEY("job_id","seq")
);
--> statement-breakpoint
CREATE TABLE "datasets"."jobs" (
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
CREATE TABLE "datasets"."outbox" (
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
CREATE TABLE "datasets"."version_requests" (
	"version_id" uuid NOT NULL,
	"request_id" uuid NOT NULL,
	CONSTRAINT "version_requests_version_id_request_id_pk" PRIMARY KEY("version_id","request_id")
);
--> statement-breakpoint
CREATE TABLE "datasets"."workers" (
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
ALTER TABLE "datasets"."dataset_versions" ADD CONSTRAINT "dataset_versions_dataset_id_datasets_id_fk" FOREIGN KEY ("dataset_id") REFERENCES "datasets"."datasets"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "datasets"."version_requests" ADD CONSTRAINT "version_requests_version_id_dataset_versions_id_fk" FOREIGN KEY ("version_id") REFERENCES "datasets"."dataset_versions"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "dataset_versions_ordinal" ON "datasets"."dataset_versions" USING btree ("dataset_id","ordinal");--> statement-breakpoint
CREATE UNIQUE INDEX "dataset_versions_source" ON "datasets"."dataset_versions" USING btree ("dataset_id","source_sha256") WHERE state <> 'failed';--> statement-breakpoint
CREATE INDEX "dataset_versions_job" ON "datasets"."dataset_versions" USING btree ("job_id");--> statement-breakpoint
CREATE UNIQUE INDEX "datasets_name" ON "datasets"."datasets" USING btree ("tenant","name");--> statement-breakpoint
CREATE INDEX "inbox_at" ON "datasets"."inbox" USING btree ("at");--> statement-breakpoint
CREATE UNIQUE INDEX "jobs_idempotency" ON "datasets"."jobs" USING btree ("tenant","idempotency_key") WHERE idempotency_key is not null;--> statement-breakpoint
CREATE INDEX "jobs_open" ON "datasets"."jobs" USING btree ("state","lease_until") WHERE state in ('queued','running','cancelling');--> statement-breakpoint
CREATE INDEX "jobs_by_time" ON "datasets"."jobs" USING btree ("created_at","id");--> statement-breakpoint
CREATE INDEX "outbox_unpublished" ON "datasets"."outbox" USING btree ("seq") WHERE published_at is null;--> statement-breakpoint
CREATE UNIQUE INDEX "outbox_aggregate_version" ON "datasets"."outbox" USING btree ("aggregate","aggregate_id","aggregate_version");