CREATE TABLE "registry"."rollouts" (
	"model_id" uuid PRIMARY KEY NOT NULL,
	"revision" integer NOT NULL,
	"spec" jsonb,
	"buckets" jsonb,
	"rolled_back" jsonb,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_by" text NOT NULL
);
--> statement-breakpoint
ALTER TABLE "registry"."rollouts" ADD CONSTRAINT "rollouts_model_id_models_id_fk" FOREIGN KEY ("model_id") REFERENCES "registry"."models"("id") ON DELETE cascade ON UPDATE no action;