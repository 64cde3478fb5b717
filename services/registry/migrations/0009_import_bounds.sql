ALTER TABLE "registry"."imports" ADD COLUMN "attempts" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "registry"."imports" ADD COLUMN "started_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "registry"."imports" ADD COLUMN "deadline_at" timestamp with time zone DEFAULT now() + interval '30 minutes' NOT NULL;--> statement-breakpoint
CREATE INDEX "imports_due" ON "registry"."imports" USING btree ("deadline_at") WHERE "registry"."imports"."state" = 'converting';