CREATE TABLE "registry"."allowed_digests" (
	"chain_id" uuid NOT NULL,
	"stage" text NOT NULL,
	"digest" text NOT NULL,
	"comment" text NOT NULL,
	"allowed_by" text NOT NULL,
	"allowed_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "allowed_digests_chain_id_stage_digest_pk" PRIMARY KEY("chain_id","stage","digest")
);
--> statement-breakpoint
CREATE TABLE "registry"."approvals" (
	"model_id" uuid NOT NULL,
	"package_digest" text NOT NULL,
	"stage" text NOT NULL,
	"principal" text NOT NULL,
	"comment" text NOT NULL,
	"approved_at" timestamp with time zone NOT NULL,
	CONSTRAINT "approvals_model_id_package_digest_stage_principal_pk" PRIMARY KEY("model_id","package_digest","stage","principal")
);
--> statement-breakpoint
CREATE TABLE "registry"."change_facts" (
	"model_id" uuid NOT NULL,
	"kind" text NOT NULL,
	"key" text NOT NULL,
	"value" text,
	"seq" integer NOT NULL,
	"from_at" timestamp with time zone NOT NULL,
	"to_at" timestamp with time zone,
	CONSTRAINT "change_facts_model_id_kind_key_from_at_seq_pk" PRIMARY KEY("model_id","kind","key","from_at","seq")
);
--> statement-breakpoint
CREATE TABLE "registry"."model_policies" (
	"model_id" uuid PRIMARY KEY NOT NULL,
	"policy" jsonb NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_by" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "registry"."tenant_governance" (
	"tenant" text PRIMARY KEY NOT NULL,
	"chain_id" uuid NOT NULL,
	"policy" jsonb,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "tenant_governance_chain_id_unique" UNIQUE("chain_id")
);
--> statement-breakpoint
DROP INDEX "registry"."models_name";--> statement-breakpoint
ALTER TABLE "registry"."model_versions" ADD COLUMN "description" text DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "registry"."model_versions" ADD COLUMN "tags" jsonb DEFAULT '{}'::jsonb NOT NULL;--> statement-breakpoint
ALTER TABLE "registry"."model_versions" ADD COLUMN "updated_at" timestamp with time zone DEFAULT now() NOT NULL;--> statement-breakpoint
ALTER TABLE "registry"."models" ADD COLUMN "description" text DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "registry"."models" ADD COLUMN "tags" jsonb DEFAULT '{}'::jsonb NOT NULL;--> statement-breakpoint
ALTER TABLE "registry"."models" ADD COLUMN "updated_at" timestamp with time zone DEFAULT now() NOT NULL;--> statement-breakpoint
ALTER TABLE "registry"."models" ADD COLUMN "deleted_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "registry"."approvals" ADD CONSTRAINT "approvals_model_id_models_id_fk" FOREIGN KEY ("model_id") REFERENCES "registry"."models"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "registry"."model_policies" ADD CONSTRAINT "model_policies_model_id_models_id_fk" FOREIGN KEY ("model_id") REFERENCES "registry"."models"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "allowed_digests_digest" ON "registry"."allowed_digests" USING btree ("digest");--> statement-breakpoint
CREATE UNIQUE INDEX "change_facts_open" ON "registry"."change_facts" USING btree ("model_id","kind","key") WHERE to_at is null;--> statement-breakpoint
CREATE INDEX "change_facts_production" ON "registry"."change_facts" USING gist (tstzrange(from_at, to_at)) WHERE kind = 'stage' and value = 'production';--> statement-breakpoint
CREATE INDEX "change_log_at" ON "registry"."change_log" USING btree ("model_id","at","seq");--> statement-breakpoint
CREATE INDEX "model_versions_package" ON "registry"."model_versions" USING btree ("package_digest");--> statement-breakpoint
CREATE INDEX "model_versions_model_digest" ON "registry"."model_versions" USING btree ("model_digest");--> statement-breakpoint
CREATE UNIQUE INDEX "models_name" ON "registry"."models" USING btree ("tenant","name") WHERE deleted_at is null;
--> statement-breakpoint
INSERT INTO "registry"."change_facts" ("model_id", "kind", "key", "value", "seq", "from_at", "to_at")
SELECT model_id, kind, key, value, seq, at,
  greatest(at, lead(at) OVER (PARTITION BY model_id, kind, key ORDER BY seq))
FROM (
  SELECT model_id, seq, at,
    CASE
      WHEN action IN ('registered', 'stage-changed', 'withdrawn') THEN 'stage'
      WHEN action IN ('alias-set', 'alias-removed') THEN 'alias'
      ELSE 'rollout'
    END AS kind,
    CASE
      WHEN action IN ('registered', 'stage-changed', 'withdrawn') THEN entry->>'modelVersionId'
      WHEN action IN ('alias-set', 'alias-removed') THEN entry->>'alias'
      ELSE ''
    END AS key,
    CASE action
      WHEN 'registered' THEN entry->>'stage'
      WHEN 'stage-changed' THEN entry->>'to'
      WHEN 'alias-set' THEN entry->>'modelVersionId'
      WHEN 'rollout-set' THEN 'set'
      WHEN 'rollout-rolled-back' THEN 'set'
    END AS value
  FROM (SELECT model_id, seq, at, entry, entry->>'action' AS action FROM "registry"."change_log") AS log
) AS facts;
