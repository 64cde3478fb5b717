CREATE TABLE "registry"."part_uploads" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"created_by" text NOT NULL,
	"fields" jsonb NOT NULL,
	"files" jsonb NOT NULL,
	"state" text DEFAULT 'open' NOT NULL,
	"claimed_until" timestamp with time zone,
	"model_version_id" uuid,
	"import_id" uuid,
	"is_reused" boolean DEFAULT false NOT NULL,
	"error" jsonb,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp with time zone NOT NULL,
	"finished_at" timestamp with time zone
);
--> statement-breakpoint
CREATE INDEX "part_uploads_tenant" ON "registry"."part_uploads" USING btree ("tenant","id");--> statement-breakpoint
CREATE INDEX "part_uploads_due" ON "registry"."part_uploads" USING btree ("expires_at") WHERE "registry"."part_uploads"."state" in ('open', 'completing');