ALTER TABLE "registry"."attestations" ADD COLUMN "name" text;--> statement-breakpoint
UPDATE "registry"."attestations" SET "name" = CASE "predicate_type" WHEN 'https://slsa.dev/provenance/v1' THEN 'provenance' ELSE 'meta' END;--> statement-breakpoint
ALTER TABLE "registry"."attestations" ALTER COLUMN "name" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "registry"."attestations" DROP CONSTRAINT "attestations_model_version_id_predicate_type_pk";--> statement-breakpoint
ALTER TABLE "registry"."attestations" ADD CONSTRAINT "attestations_model_version_id_name_pk" PRIMARY KEY("model_version_id","name");
