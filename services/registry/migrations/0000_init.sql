CREATE SCHEMA "registry";
--> statement-breakpoint
CREATE TABLE "registry"."aggregate_versions" (
	"aggregate" text NOT NULL,
	"aggregate_id" text NOT NULL,
	"version" bigint NOT NULL,
	CONSTRAINT "aggregate_versions_aggregate_aggregate_id_pk" PRIMARY KEY("aggregate","aggregate_id")
);
--> statement-breakpoint
CREATE TABLE "registry"."aliases" (
	"model_id" uuid NOT NULL,
	"alias" text NOT NULL,
	"model_version_id" uuid NOT NULL,
	"set_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "aliases_model_id_alias_pk" PRIMARY KEY("model_id","alias")
);
--> statement-breakpoint
CREATE TABLE "registry"."attestations" (
	"model_version_id" uuid NOT NULL,
	"predicate_type" text NOT NULL,
	"bundle" jsonb NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "attestations_model_version_id_predicate_type_pk" PRIMARY KEY("model_version_id","predicate_type")
);
--> statement-breakpoint
CREATE TABLE "registry"."change_log" (
	"model_id" uuid NOT NULL,
	"seq" integer NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"entry" jsonb NOT NULL,
	"prev_hash" text NOT NULL,
	"hash" text NOT NULL,
	CONSTRAINT "change_log_model_id_seq_pk" PRIMARY KEY("model_id","seq")
);
--> statement-breakpoint
CREATE TABLE "registry"."inbox" (
	"consumer" text NOT NULL,
	"message_id" text NOT NULL,
	"at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "inbox_consumer_message_id_pk" PRIMARY KEY("consumer","message_id")
);
--> statement-breakpoint
CREATE TABLE "registry"."model_versions" (
	"id" uuid PRIMARY KEY NOT NULL,
	"model_id" uuid NOT NULL,
	"label" text NOT NULL,
	"ordinal" integer NOT NULL,
	"stage" text NOT NULL,
	"stage_changed_at" timestamp with time zone DEFAULT now() NOT NULL,
	"framework" text NOT NULL,
	"package_digest" text NOT NULL,
	"model_digest" text NOT NULL,
	"graph_sha256" text NOT NULL,
	"serving_file" text NOT NULL,
	"inputs" jsonb NOT NULL,
	"outputs" jsonb NOT NULL,
	"input_schema" text,
	"output_schema" text,
	"metadata" text,
	"lineage" jsonb NOT NULL,
	"metrics" jsonb NOT NULL,
	"created_by" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "registry"."models" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"name" text NOT NULL,
	"last_ordinal" integer DEFAULT 0 NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "registry"."outbox" (
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
CREATE TABLE "registry"."package_files" (
	"package_digest" text NOT NULL,
	"path" text NOT NULL,
	"sha256" text NOT NULL,
	"size_bytes" bigint NOT NULL,
	CONSTRAINT "package_files_package_digest_path_pk" PRIMARY KEY("package_digest","path")
);
--> statement-breakpoint
CREATE TABLE "registry"."packages" (
	"package_digest" text PRIMARY KEY NOT NULL,
	"root_digest" text NOT NULL,
	"manifest" jsonb NOT NULL,
	"signature" jsonb NOT NULL,
	"key_id" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
ALTER TABLE "registry"."aliases" ADD CONSTRAINT "aliases_model_id_models_id_fk" FOREIGN KEY ("model_id") REFERENCES "registry"."models"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "registry"."attestations" ADD CONSTRAINT "attestations_model_version_id_model_versions_id_fk" FOREIGN KEY ("model_version_id") REFERENCES "registry"."model_versions"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "registry"."model_versions" ADD CONSTRAINT "model_versions_package_digest_packages_package_digest_fk" FOREIGN KEY ("package_digest") REFERENCES "registry"."packages"("package_digest") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "registry"."package_files" ADD CONSTRAINT "package_files_package_digest_packages_package_digest_fk" FOREIGN KEY ("package_digest") REFERENCES "registry"."packages"("package_digest") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "inbox_at" ON "registry"."inbox" USING btree ("at");--> statement-breakpoint
CREATE UNIQUE INDEX "model_versions_label" ON "registry"."model_versions" USING btree ("model_id","label");--> statement-breakpoint
CREATE UNIQUE INDEX "model_versions_ordinal" ON "registry"."model_versions" USING btree ("model_id","ordinal");--> statement-breakpoint
CREATE INDEX "model_versions_digest" ON "registry"."model_versions" USING btree ("model_id","model_digest");--> statement-breakpoint
CREATE UNIQUE INDEX "models_name" ON "registry"."models" USING btree ("tenant","name");--> statement-breakpoint
CREATE INDEX "outbox_unpublished" ON "registry"."outbox" USING btree ("seq") WHERE published_at is null;--> statement-breakpoint
CREATE UNIQUE INDEX "outbox_aggregate_version" ON "registry"."outbox" USING btree ("aggregate","aggregate_id","aggregate_version");--> statement-breakpoint
CREATE INDEX "package_files_sha256" ON "registry"."package_files" USING btree ("sha256");