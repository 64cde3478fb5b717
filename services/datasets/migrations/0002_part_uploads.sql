CREATE TABLE "datasets"."part_uploads" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"created_by" text NOT NULL,
	"fields" jsonb NOT NULL,
	"files" jsonb NOT NULL,
	"state" text DEFAULT 'open' NOT NULL,
	"claimed_until" timestamp with time zone,
	"is_reused" boolean DEFAULT false NOT NULL,
	"error" jsonb,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp with time zone NOT NULL,
	"finished_at" timestamp with time zone,
	"dataset_id" uuid NOT NULL,
	"request_sha256" text NOT NULL,
	"version_id" uuid
);
--> statement-breakpoint
CREATE INDEX "part_uploads_dataset" ON "datasets"."part_uploads" USING btree ("dataset_id","id");--> statement-breakpoint
CREATE INDEX "part_uploads_due" ON "datasets"."part_uploads" USING btree ("expires_at") WHERE state in ('open', 'completing');--> statement-breakpoint
CREATE UNIQUE INDEX "part_uploads_request" ON "datasets"."part_uploads" USING btree ("tenant","request_sha256") WHERE state in ('open', 'completing');