CREATE TABLE "registry"."model_registrations" (
	"id" uuid PRIMARY KEY NOT NULL,
	"model_id" uuid NOT NULL,
	"ordinal" integer NOT NULL,
	"status" text NOT NULL,
	"status_message" text DEFAULT '' NOT NULL,
	"source" text NOT NULL,
	"artifact_path" text,
	"copied_from" uuid,
	"run_id" text DEFAULT '' NOT NULL,
	"run_link" text DEFAULT '' NOT NULL,
	"logged_model_id" text DEFAULT '' NOT NULL,
	"description" text DEFAULT '' NOT NULL,
	"tags" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"created_by" text NOT NULL,
	"created_ms" bigint NOT NULL,
	"updated_ms" bigint NOT NULL,
	"model_version_id" uuid,
	"attempts" integer DEFAULT 0 NOT NULL,
	"claimed_until" timestamp with time zone,
	CONSTRAINT "model_registrations_model_version_id_unique" UNIQUE("model_version_id")
);
--> statement-breakpoint
ALTER TABLE "registry"."model_registrations" ADD CONSTRAINT "model_registrations_model_id_models_id_fk" FOREIGN KEY ("model_id") REFERENCES "registry"."models"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "registry"."model_registrations" ADD CONSTRAINT "model_registrations_model_version_id_model_versions_id_fk" FOREIGN KEY ("model_version_id") REFERENCES "registry"."model_versions"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "model_registrations_ordinal" ON "registry"."model_registrations" USING btree ("model_id","ordinal");--> statement-breakpoint
CREATE INDEX "model_registrations_pending" ON "registry"."model_registrations" USING btree ("created_ms") WHERE status = 'PENDING_REGISTRATION';