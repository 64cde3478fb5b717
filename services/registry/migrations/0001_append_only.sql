create function "registry"."refuse_change"() returns trigger language plpgsql as $$
begin
  raise exception 'registry.change_log is append-only';
end
$$;
--> statement-breakpoint
create trigger "change_log_append_only" before update or delete on "registry"."change_log"
  for each row execute function "registry"."refuse_change"();
--> statement-breakpoint
create trigger "change_log_no_truncate" before truncate on "registry"."change_log"
  for each statement execute function "registry"."refuse_change"();
