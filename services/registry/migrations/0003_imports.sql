CREATE TABLE "registry"."imports" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"model_id" uuid NOT NULL,
	"model" text NOT NULL,
	"label" text NOT NULL,
	"stage" text NOT NULL,
	"format" text NOT NULL,
	"files" jsonb NOT NULL,
	"content_digest" text NOT NULL,
	"input_schema" text,
	"output_schema" text,
	"metadata" text,
	"state" text DEFAULT 'converting' NOT NULL,
	"conversion_job_id" uuid,
	"model_version_id" uuid,
	"error" jsonb,
	"created_by" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"finished_at" timestamp with time zone
);
--> statement-breakpoint
ALTER TABLE "registry"."imports" ADD CONSTRAINT "imports_model_id_models_id_fk" FOREIGN KEY ("model_id") REFERENCES "registry"."models"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "imports_open" ON "registry"."imports" USING btree ("model_id","label") WHERE "registry"."imports"."state" = 'converting';--> statement-breakpoint
CREATE INDEX "imports_model" ON "registry"."imports" USING btree ("model_id","created_at");