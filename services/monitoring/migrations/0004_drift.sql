-- References of model versions and the alarms of their windows; written and read by SQL (src/drift).
CREATE TABLE "monitoring"."drift_references" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"model_version_id" uuid NOT NULL,
	"model" text NOT NULL,
	"version" text NOT NULL,
	"digest" text NOT NULL,
	"row_count" double precision NOT NULL,
	"feature_count" integer NOT NULL,
	"source" jsonb NOT NULL,
	"reference" text NOT NULL,
	"created_by" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "monitoring"."drift_alarms" (
	"tenant" text NOT NULL,
	"model_version_id" uuid NOT NULL,
	"model" text NOT NULL,
	"version" text NOT NULL,
	"is_raised" boolean DEFAULT false NOT NULL,
	"drifted" integer DEFAULT 0 NOT NULL,
	"stable" integer DEFAULT 0 NOT NULL,
	"quiet" integer DEFAULT 0 NOT NULL,
	"judged_until" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "drift_alarms_pkey" PRIMARY KEY("tenant","model_version_id")
);
--> statement-breakpoint
CREATE INDEX "drift_references_version" ON "monitoring"."drift_references" USING btree ("tenant","model_version_id","created_at" DESC,"id" DESC);--> statement-breakpoint
CREATE INDEX "drift_references_name" ON "monitoring"."drift_references" USING btree ("tenant","model","version");--> statement-breakpoint
CREATE INDEX "drift_alarms_due" ON "monitoring"."drift_alarms" USING btree ("judged_until");
