CREATE TABLE "datasets"."version_trainings" (
	"job_id" uuid PRIMARY KEY NOT NULL,
	"version_id" uuid NOT NULL,
	"recipe" text NOT NULL,
	"state" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
ALTER TABLE "datasets"."datasets" ADD COLUMN "quality" jsonb DEFAULT '{}'::jsonb NOT NULL;--> statement-breakpoint
CREATE INDEX "version_trainings_version" ON "datasets"."version_trainings" USING btree ("version_id","created_at");