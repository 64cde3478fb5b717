-- What is there belongs to the platform's own tenant; a constant default rewrites no partition.
ALTER TABLE "monitoring"."feedback" ADD COLUMN "tenant" text DEFAULT 'default' NOT NULL;--> statement-breakpoint
ALTER TABLE "monitoring"."feedback" DROP CONSTRAINT "feedback_pkey";--> statement-breakpoint
ALTER TABLE "monitoring"."feedback" ADD CONSTRAINT "feedback_inference_id_tenant_pk" PRIMARY KEY("inference_id","tenant");--> statement-breakpoint
ALTER TABLE "monitoring"."feedback_history" ADD COLUMN "tenant" text DEFAULT 'default' NOT NULL;--> statement-breakpoint
ALTER TABLE "monitoring"."prediction_sources" ADD COLUMN "tenant" text DEFAULT 'default' NOT NULL;--> statement-breakpoint
ALTER TABLE "monitoring"."predictions" ADD COLUMN "tenant" text DEFAULT 'default' NOT NULL;--> statement-breakpoint
DROP INDEX "monitoring"."predictions_at";--> statement-breakpoint
DROP INDEX "monitoring"."predictions_model_at";--> statement-breakpoint
DROP INDEX "monitoring"."predictions_user_at";--> statement-breakpoint
CREATE INDEX "predictions_tenant_at" ON "monitoring"."predictions" USING btree ("tenant","at" DESC);--> statement-breakpoint
CREATE INDEX "predictions_tenant_model_at" ON "monitoring"."predictions" USING btree ("tenant","model","at" DESC);--> statement-breakpoint
CREATE INDEX "predictions_tenant_user_at" ON "monitoring"."predictions" USING btree ("tenant","user_id","at" DESC) WHERE "user_id" IS NOT NULL;
