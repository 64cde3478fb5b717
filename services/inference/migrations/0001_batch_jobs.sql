CREATE TABLE "inference"."batch_jobs" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"created_by" text NOT NULL,
	"state" text DEFAULT 'queued' NOT NULL,
	"spec" jsonb NOT NULL,
	"sources" jsonb NOT NULL,
	"heads" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"body_sha256" text NOT NULL,
	"idempotency_key" text,
	"is_planned" boolean DEFAULT false NOT NULL,
	"rows_planned" bigint DEFAULT 0 NOT NULL,
	"rows_done" bigint DEFAULT 0 NOT NULL,
	"rows_skipped" bigint DEFAULT 0 NOT NULL,
	"chunks_planned" integer DEFAULT 0 NOT NULL,
	"chunks_done" integer DEFAULT 0 NOT NULL,
	"result" jsonb,
	"error" jsonb,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"started_at" timestamp with time zone,
	"finished_at" timestamp with time zone
);
--> statement-breakpoint
CREATE TABLE "inference"."batch_tasks" (
	"job_id" uuid NOT NULL,
	"kind" text NOT NULL,
	"position" integer NOT NULL,
	"state" text NOT NULL,
	"input" jsonb,
	"result" jsonb,
	"fence" bigint DEFAULT 0 NOT NULL,
	"attempts" integer DEFAULT 0 NOT NULL,
	"lease_until" timestamp with time zone,
	"emitted_at" timestamp with time zone,
	"emits" integer DEFAULT 0 NOT NULL,
	"error" jsonb,
	CONSTRAINT "batch_tasks_job_id_kind_position_pk" PRIMARY KEY("job_id","kind","position")
);
--> statement-breakpoint
ALTER TABLE "inference"."batch_tasks" ADD CONSTRAINT "batch_tasks_job_id_batch_jobs_id_fk" FOREIGN KEY ("job_id") REFERENCES "inference"."batch_jobs"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "batch_jobs_idempotency" ON "inference"."batch_jobs" USING btree ("tenant","idempotency_key") WHERE idempotency_key is not null;--> statement-breakpoint
CREATE INDEX "batch_jobs_by_time" ON "inference"."batch_jobs" USING btree ("tenant","created_at","id");--> statement-breakpoint
CREATE INDEX "batch_tasks_open" ON "inference"."batch_tasks" USING btree ("state","lease_until") WHERE state in ('queued','running');