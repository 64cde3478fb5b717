CREATE TABLE "registry"."artifact_garbage" (
	"object_key" text PRIMARY KEY NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "registry"."artifact_uploads" (
	"upload_id" text PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"path" text NOT NULL,
	"object_key" text NOT NULL,
	"parts" integer NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "registry"."artifacts" (
	"tenant" text NOT NULL,
	"path" text collate "C" NOT NULL,
	"object_key" text NOT NULL,
	"size_bytes" bigint NOT NULL,
	"sha256" text,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "artifacts_tenant_path_pk" PRIMARY KEY("tenant","path")
);
--> statement-breakpoint
CREATE TABLE "registry"."experiment_tags" (
	"experiment_id" bigint NOT NULL,
	"key" text NOT NULL,
	"value" text NOT NULL,
	CONSTRAINT "experiment_tags_experiment_id_key_pk" PRIMARY KEY("experiment_id","key")
);
--> statement-breakpoint
CREATE TABLE "registry"."experiments" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "registry"."experiments_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"tenant" text NOT NULL,
	"is_default" boolean DEFAULT false NOT NULL,
	"name" text NOT NULL,
	"artifact_location" text,
	"lifecycle_stage" text DEFAULT 'active' NOT NULL,
	"created_ms" bigint NOT NULL,
	"updated_ms" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "registry"."logged_model_metrics" (
	"model_id" text NOT NULL,
	"run_id" uuid NOT NULL,
	"key" text NOT NULL,
	"timestamp_ms" bigint NOT NULL,
	"step" bigint NOT NULL,
	"value" double precision NOT NULL,
	"dataset_name" text DEFAULT '' NOT NULL,
	"dataset_digest" text DEFAULT '' NOT NULL,
	CONSTRAINT "logged_model_metrics_pk" PRIMARY KEY("model_id","key","timestamp_ms","step","run_id","dataset_name","dataset_digest","value")
);
--> statement-breakpoint
CREATE TABLE "registry"."logged_model_params" (
	"model_id" text NOT NULL,
	"key" text NOT NULL,
	"value" text NOT NULL,
	CONSTRAINT "logged_model_params_model_id_key_pk" PRIMARY KEY("model_id","key")
);
--> statement-breakpoint
CREATE TABLE "registry"."logged_model_tags" (
	"model_id" text NOT NULL,
	"key" text NOT NULL,
	"value" text NOT NULL,
	CONSTRAINT "logged_model_tags_model_id_key_pk" PRIMARY KEY("model_id","key")
);
--> statement-breakpoint
CREATE TABLE "registry"."logged_models" (
	"id" text PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"experiment_id" bigint NOT NULL,
	"name" text NOT NULL,
	"source_run_id" uuid,
	"model_type" text,
	"status" text NOT NULL,
	"artifact_uri" text NOT NULL,
	"lifecycle_stage" text DEFAULT 'active' NOT NULL,
	"created_ms" bigint NOT NULL,
	"updated_ms" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "registry"."run_datasets" (
	"run_id" uuid NOT NULL,
	"name" text NOT NULL,
	"digest" text NOT NULL,
	"source_type" text NOT NULL,
	"source" text NOT NULL,
	"schema" text,
	"profile" text,
	"context" text,
	"tags" jsonb NOT NULL,
	CONSTRAINT "run_datasets_run_id_name_digest_pk" PRIMARY KEY("run_id","name","digest")
);
--> statement-breakpoint
CREATE TABLE "registry"."run_latest_metrics" (
	"run_id" uuid NOT NULL,
	"key" text NOT NULL,
	"experiment_id" bigint NOT NULL,
	"step" bigint NOT NULL,
	"timestamp_ms" bigint NOT NULL,
	"value" double precision NOT NULL,
	CONSTRAINT "run_latest_metrics_run_id_key_pk" PRIMARY KEY("run_id","key")
);
--> statement-breakpoint
CREATE TABLE "registry"."run_metrics" (
	"run_id" uuid NOT NULL,
	"key" text NOT NULL,
	"timestamp_ms" bigint NOT NULL,
	"step" bigint NOT NULL,
	"value" double precision NOT NULL,
	CONSTRAINT "run_metrics_run_id_key_timestamp_ms_step_value_pk" PRIMARY KEY("run_id","key","timestamp_ms","step","value")
);
--> statement-breakpoint
CREATE TABLE "registry"."run_models" (
	"run_id" uuid NOT NULL,
	"direction" text NOT NULL,
	"model_id" text NOT NULL,
	"step" integer DEFAULT 0 NOT NULL,
	CONSTRAINT "run_models_run_id_direction_model_id_pk" PRIMARY KEY("run_id","direction","model_id")
);
--> statement-breakpoint
CREATE TABLE "registry"."run_params" (
	"run_id" uuid NOT NULL,
	"key" text NOT NULL,
	"experiment_id" bigint NOT NULL,
	"value" text NOT NULL,
	CONSTRAINT "run_params_run_id_key_pk" PRIMARY KEY("run_id","key")
);
--> statement-breakpoint
CREATE TABLE "registry"."run_tags" (
	"run_id" uuid NOT NULL,
	"key" text NOT NULL,
	"experiment_id" bigint NOT NULL,
	"value" text NOT NULL,
	CONSTRAINT "run_tags_run_id_key_pk" PRIMARY KEY("run_id","key")
);
--> statement-breakpoint
CREATE TABLE "registry"."runs" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"experiment_id" bigint NOT NULL,
	"name" text NOT NULL,
	"user_id" text NOT NULL,
	"status" text NOT NULL,
	"start_ms" bigint NOT NULL,
	"end_ms" bigint,
	"lifecycle_stage" text DEFAULT 'active' NOT NULL,
	"artifact_uri" text NOT NULL
);
--> statement-breakpoint
ALTER TABLE "registry"."experiment_tags" ADD CONSTRAINT "experiment_tags_experiment_id_experiments_id_fk" FOREIGN KEY ("experiment_id") REFERENCES "registry"."experiments"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "registry"."logged_model_metrics" ADD CONSTRAINT "logged_model_metrics_model_id_logged_models_id_fk" FOREIGN KEY ("model_id") REFERENCES "registry"."logged_models"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "registry"."logged_model_params" ADD CONSTRAINT "logged_model_params_model_id_logged_models_id_fk" FOREIGN KEY ("model_id") REFERENCES "registry"."logged_models"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "registry"."logged_model_tags" ADD CONSTRAINT "logged_model_tags_model_id_logged_models_id_fk" FOREIGN KEY ("model_id") REFERENCES "registry"."logged_models"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "registry"."logged_models" ADD CONSTRAINT "logged_models_experiment_id_experiments_id_fk" FOREIGN KEY ("experiment_id") REFERENCES "registry"."experiments"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "registry"."runs" ADD CONSTRAINT "runs_experiment_id_experiments_id_fk" FOREIGN KEY ("experiment_id") REFERENCES "registry"."experiments"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "artifact_garbage_by_age" ON "registry"."artifact_garbage" USING btree ("created_at");--> statement-breakpoint
CREATE UNIQUE INDEX "experiments_name" ON "registry"."experiments" USING btree ("tenant","name");--> statement-breakpoint
CREATE UNIQUE INDEX "experiments_default" ON "registry"."experiments" USING btree ("tenant") WHERE is_default;--> statement-breakpoint
CREATE INDEX "logged_models_by_creation" ON "registry"."logged_models" USING btree ("experiment_id","created_ms" DESC NULLS LAST,"id");--> statement-breakpoint
CREATE INDEX "run_latest_metrics_by_value" ON "registry"."run_latest_metrics" USING btree ("experiment_id","key","value","run_id");--> statement-breakpoint
CREATE INDEX "run_params_by_value" ON "registry"."run_params" USING btree ("experiment_id","key",left("value", 128),"run_id");--> statement-breakpoint
CREATE INDEX "run_tags_by_value" ON "registry"."run_tags" USING btree ("experiment_id","key",left("value", 128),"run_id");--> statement-breakpoint
CREATE INDEX "runs_by_start" ON "registry"."runs" USING btree ("experiment_id","start_ms" DESC NULLS LAST,"id");