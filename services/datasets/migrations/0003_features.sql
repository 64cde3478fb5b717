CREATE TABLE "datasets"."feature_values" (
	"view_id" uuid NOT NULL,
	"entity" text NOT NULL,
	"event_us" bigint NOT NULL,
	"created_us" bigint NOT NULL,
	"seq" bigint NOT NULL,
	"body" json NOT NULL,
	CONSTRAINT "feature_values_view_id_entity_pk" PRIMARY KEY("view_id","entity")
);
--> statement-breakpoint
CREATE TABLE "datasets"."feature_views" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"name" text NOT NULL,
	"description" text NOT NULL,
	"owner" text NOT NULL,
	"entity" text NOT NULL,
	"key_type" text NOT NULL,
	"features" jsonb NOT NULL,
	"ttl_seconds" integer,
	"revision" integer NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_by" text NOT NULL,
	"deleted_at" timestamp with time zone
);
--> statement-breakpoint
CREATE UNIQUE INDEX "feature_views_name" ON "datasets"."feature_views" USING btree ("tenant","name") WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX "feature_views_deleted" ON "datasets"."feature_views" USING btree ("deleted_at") WHERE deleted_at is not null;--> statement-breakpoint
-- What follows drizzle cannot declare: every row that was written, in partitions by entity, so that the look-up of one
-- entity as of a time reads one partition (docs/adr/0026). Rows are added and, with their entity or view, removed; none
-- is ever changed.
CREATE SEQUENCE "datasets"."feature_history_seq";
--> statement-breakpoint
CREATE TABLE "datasets"."feature_history" (
	"view_id" uuid NOT NULL,
	"entity" text NOT NULL,
	"event_us" bigint NOT NULL,
	"created_us" bigint NOT NULL,
	"seq" bigint DEFAULT nextval('datasets.feature_history_seq') NOT NULL,
	"body" json NOT NULL,
	CONSTRAINT "feature_history_pkey" PRIMARY KEY("view_id","entity","event_us","created_us","seq")
) PARTITION BY HASH ("view_id","entity");
--> statement-breakpoint
CREATE TABLE "datasets"."feature_history_p0" PARTITION OF "datasets"."feature_history" FOR VALUES WITH (MODULUS 16, REMAINDER 0);
--> statement-breakpoint
CREATE TABLE "datasets"."feature_history_p1" PARTITION OF "datasets"."feature_history" FOR VALUES WITH (MODULUS 16, REMAINDER 1);
--> statement-breakpoint
CREATE TABLE "datasets"."feature_history_p2" PARTITION OF "datasets"."feature_history" FOR VALUES WITH (MODULUS 16, REMAINDER 2);
--> statement-breakpoint
CREATE TABLE "datasets"."feature_history_p3" PARTITION OF "datasets"."feature_history" FOR VALUES WITH (MODULUS 16, REMAINDER 3);
--> statement-breakpoint
CREATE TABLE "datasets"."feature_history_p4" PARTITION OF "datasets"."feature_history" FOR VALUES WITH (MODULUS 16, REMAINDER 4);
--> statement-breakpoint
CREATE TABLE "datasets"."feature_history_p5" PARTITION OF "datasets"."feature_history" FOR VALUES WITH (MODULUS 16, REMAINDER 5);
--> statement-breakpoint
CREATE TABLE "datasets"."feature_history_p6" PARTITION OF "datasets"."feature_history" FOR VALUES WITH (MODULUS 16, REMAINDER 6);
--> statement-breakpoint
CREATE TABLE "datasets"."feature_history_p7" PARTITION OF "datasets"."feature_history" FOR VALUES WITH (MODULUS 16, REMAINDER 7);
--> statement-breakpoint
CREATE TABLE "datasets"."feature_history_p8" PARTITION OF "datasets"."feature_history" FOR VALUES WITH (MODULUS 16, REMAINDER 8);
--> statement-breakpoint
CREATE TABLE "datasets"."feature_history_p9" PARTITION OF "datasets"."feature_history" FOR VALUES WITH (MODULUS 16, REMAINDER 9);
--> statement-breakpoint
CREATE TABLE "datasets"."feature_history_p10" PARTITION OF "datasets"."feature_history" FOR VALUES WITH (MODULUS 16, REMAINDER 10);
--> statement-breakpoint
CREATE TABLE "datasets"."feature_history_p11" PARTITION OF "datasets"."feature_history" FOR VALUES WITH (MODULUS 16, REMAINDER 11);
--> statement-breakpoint
CREATE TABLE "datasets"."feature_history_p12" PARTITION OF "datasets"."feature_history" FOR VALUES WITH (MODULUS 16, REMAINDER 12);
--> statement-breakpoint
CREATE TABLE "datasets"."feature_history_p13" PARTITION OF "datasets"."feature_history" FOR VALUES WITH (MODULUS 16, REMAINDER 13);
--> statement-breakpoint
CREATE TABLE "datasets"."feature_history_p14" PARTITION OF "datasets"."feature_history" FOR VALUES WITH (MODULUS 16, REMAINDER 14);
--> statement-breakpoint
CREATE TABLE "datasets"."feature_history_p15" PARTITION OF "datasets"."feature_history" FOR VALUES WITH (MODULUS 16, REMAINDER 15);
--> statement-breakpoint
CREATE FUNCTION "datasets"."refuse_feature_history_update"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'rows of feature_history are never changed';
END $$;
--> statement-breakpoint
CREATE TRIGGER "feature_history_append_only" BEFORE UPDATE ON "datasets"."feature_history"
  FOR EACH ROW EXECUTE FUNCTION "datasets"."refuse_feature_history_update"();
