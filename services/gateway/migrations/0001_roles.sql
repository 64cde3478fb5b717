ALTER TABLE "gateway"."api_keys" ALTER COLUMN "created_at" SET DATA TYPE timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "gateway"."api_keys" ALTER COLUMN "created_at" SET DEFAULT now();--> statement-breakpoint
ALTER TABLE "gateway"."principals" ALTER COLUMN "created_at" SET DATA TYPE timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "gateway"."principals" ALTER COLUMN "created_at" SET DEFAULT now();--> statement-breakpoint
ALTER TABLE "gateway"."tenants" ALTER COLUMN "created_at" SET DATA TYPE timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "gateway"."tenants" ALTER COLUMN "created_at" SET DEFAULT now();--> statement-breakpoint
ALTER TABLE "gateway"."api_keys" ADD COLUMN "roles" text[] DEFAULT '{}' NOT NULL;--> statement-breakpoint
ALTER TABLE "gateway"."principals" ADD COLUMN "roles" text[];--> statement-breakpoint
ALTER TABLE "gateway"."principals" ADD COLUMN "note" text DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "gateway"."principals" ADD COLUMN "created_by" text DEFAULT 'launcher' NOT NULL;--> statement-breakpoint
ALTER TABLE "gateway"."principals" ADD COLUMN "disabled_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "gateway"."tenants" ADD COLUMN "note" text DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "gateway"."tenants" ADD COLUMN "limits" jsonb DEFAULT '{}'::jsonb NOT NULL;--> statement-breakpoint
ALTER TABLE "gateway"."tenants" ADD COLUMN "created_by" text DEFAULT 'launcher' NOT NULL;--> statement-breakpoint
ALTER TABLE "gateway"."tenants" ADD COLUMN "disabled_at" timestamp with time zone;--> statement-breakpoint
CREATE INDEX "principals_tenant" ON "gateway"."principals" USING btree ("tenant_id","created_at","id");--> statement-breakpoint
CREATE INDEX "tenants_created" ON "gateway"."tenants" USING btree ("created_at","id");--> statement-breakpoint
INSERT INTO "gateway"."tenants" ("id") VALUES ('default') ON CONFLICT DO NOTHING;
