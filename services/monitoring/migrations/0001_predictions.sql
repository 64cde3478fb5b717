-- One partition a day, made ahead and on demand by the service (predictions/partitions.ts); queries name a range of `at`.
CREATE TABLE "monitoring"."predictions" (
	"id" uuid NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"model_version_id" uuid NOT NULL,
	"model" text NOT NULL,
	"version" text NOT NULL,
	"framework" text NOT NULL,
	"user_id" text,
	"session_id" text,
	"inputs" jsonb NOT NULL,
	"outputs" jsonb NOT NULL,
	"confidence" double precision,
	"latency_ms" double precision NOT NULL,
	CONSTRAINT "predictions_pkey" PRIMARY KEY("id","at")
) PARTITION BY RANGE ("at");
--> statement-breakpoint
CREATE INDEX "predictions_at" ON "monitoring"."predictions" USING btree ("at" DESC);--> statement-breakpoint
CREATE INDEX "predictions_model_at" ON "monitoring"."predictions" USING btree ("model","at" DESC);--> statement-breakpoint
CREATE INDEX "predictions_user_at" ON "monitoring"."predictions" USING btree ("user_id","at" DESC) WHERE "user_id" IS NOT NULL;
