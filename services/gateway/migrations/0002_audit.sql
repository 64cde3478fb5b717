CREATE TABLE "gateway"."audit_heads" (
	"tenant" text PRIMARY KEY NOT NULL,
	"seq" bigint NOT NULL,
	"hash" text NOT NULL,
	"cut_seq" bigint NOT NULL,
	"cut_hash" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "gateway"."audit_log" (
	"tenant" text NOT NULL,
	"seq" bigint NOT NULL,
	"at" timestamp (3) with time zone NOT NULL,
	"kind" text NOT NULL,
	"principal" text NOT NULL,
	"method" text NOT NULL,
	"route" text NOT NULL,
	"resource" text NOT NULL,
	"status" integer NOT NULL,
	"code" text,
	"request_id" text NOT NULL,
	"remote_address" text NOT NULL,
	"prev_hash" text NOT NULL,
	"hash" text NOT NULL,
	CONSTRAINT "audit_log_tenant_seq_pk" PRIMARY KEY("tenant","seq")
);
--> statement-breakpoint
CREATE TABLE "gateway"."usage_hours" (
	"tenant" text NOT NULL,
	"hour" timestamp (3) with time zone NOT NULL,
	"requests" bigint NOT NULL,
	"predictions" bigint NOT NULL,
	"refused" bigint NOT NULL,
	CONSTRAINT "usage_hours_tenant_hour_pk" PRIMARY KEY("tenant","hour")
);
--> statement-breakpoint
CREATE INDEX "audit_log_principal" ON "gateway"."audit_log" USING btree ("tenant","principal","seq");--> statement-breakpoint
create function "gateway"."refuse_audit_change"() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' and old.seq <= (select cut_seq from "gateway"."audit_heads" where tenant = old.tenant) then
    return old;
  end if;
  raise exception 'gateway.audit_log is append-only';
end
$$;
--> statement-breakpoint
create trigger "audit_log_append_only" before update or delete on "gateway"."audit_log"
  for each row execute function "gateway"."refuse_audit_change"();
--> statement-breakpoint
create trigger "audit_log_no_truncate" before truncate on "gateway"."audit_log"
  for each statement execute function "gateway"."refuse_audit_change"();
