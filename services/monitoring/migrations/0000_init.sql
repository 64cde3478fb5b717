CREATE SCHEMA "monitoring";
--> statement-breakpoint
CREATE TABLE "monitoring"."aggregate_versions" (
	"aggregate" text NOT NULL,
	"aggregate_id" text NOT NULL,
	"version" bigint NOT NULL,
	CONSTRAINT "aggregate_versions_aggregate_aggregate_id_pk" PRIMARY KEY("aggregate","aggregate_id")
);
--> statement-breakpoint
CREATE TABLE "monitoring"."feedback" (
	"inference_id" uuid PRIMARY KEY NOT NULL,
	"outcome" jsonb,
	"correct" boolean,
	"received_at" timestamp with time zone DEFAULT now() NOT NULL,
	"is_matched" boolean DEFAULT false NOT NULL
);
--> statement-breakpoint
CREATE TABLE "monitoring"."feedback_history" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"inference_id" uuid NOT NULL,
	"outcome" jsonb,
	"correct" boolean,
	"principal" text NOT NULL,
	"received_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "monitoring"."inbox" (
	"consumer" text NOT NULL,
	"message_id" text NOT NULL,
	"at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "inbox_consumer_message_id_pk" PRIMARY KEY("consumer","message_id")
);
--> statement-breakpoint
CREATE TABLE "monitoring"."outbox" (
	"id" uuid PRIMARY KEY NOT NULL,
	"seq" bigserial NOT NULL,
	"aggregate" text NOT NULL,
	"aggregate_id" text NOT NULL,
	"aggregate_version" bigint NOT NULL,
	"subject" text NOT NULL,
	"headers" jsonb NOT NULL,
	"payload" "bytea" NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"attempts" integer DEFAULT 0 NOT NULL,
	"next_at" timestamp with time zone DEFAULT now() NOT NULL,
	"published_at" timestamp with time zone,
	"stream_seq" bigint
);
--> statement-breakpoint
CREATE TABLE "monitoring"."prediction_sources" (
	"source" uuid NOT NULL,
	"model_version_id" uuid NOT NULL,
	"model" text NOT NULL,
	"version" text NOT NULL,
	"batches" bigint NOT NULL,
	"max_sequence" bigint NOT NULL,
	"stored" bigint NOT NULL,
	"dropped" bigint NOT NULL,
	"last_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "prediction_sources_source_model_version_id_pk" PRIMARY KEY("source","model_version_id")
);
--> statement-breakpoint
CREATE INDEX "feedback_unmatched" ON "monitoring"."feedback" USING btree ("received_at") WHERE not is_matched;--> statement-breakpoint
CREATE INDEX "feedback_received" ON "monitoring"."feedback" USING btree ("received_at");--> statement-breakpoint
CREATE INDEX "feedback_history_inference" ON "monitoring"."feedback_history" USING btree ("inference_id");--> statement-breakpoint
CREATE INDEX "inbox_at" ON "monitoring"."inbox" USING btree ("at");--> statement-breakpoint
CREATE INDEX "outbox_unpublished" ON "monitoring"."outbox" USING btree ("seq") WHERE published_at is null;--> statement-breakpoint
CREATE UNIQUE INDEX "outbox_aggregate_version" ON "monitoring"."outbox" USING btree ("aggregate","aggregate_id","aggregate_version");