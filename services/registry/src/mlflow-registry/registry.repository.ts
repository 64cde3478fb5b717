import type { Stage } from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import type { SQL } from 'drizzle-orm';
import { sql } from 'drizzle-orm';
import type { OrderTerm } from '../mlflow/keyset.ts';
import { afterSql, orderSql, rowKeySql } from '../mlflow/keyset.ts';
import type { ModelTables, Tags } from '../models/model.table.ts';
import type { VersionTables } from '../versions/version.table.ts';
import type { ModelRegistrationTable, RegistrationStatus } from './model-registration.table.ts';

/** A version as MLflow sees it, registered or on its way; its id is that of the version, else of the registration. */
export type VersionView = {
  readonly id: string;
  readonly modelId: string;
  readonly name: string;
  readonly ordinal: number;
  readonly label: string | null;
  readonly stage: Stage | null;
  readonly status: RegistrationStatus;
  readonly statusMessage: string;
  readonly source: string;
  readonly runId: string;
  readonly runLink: string;
  readonly loggedModelId: string;
  readonly description: string;
  readonly tags: Tags;
  readonly createdBy: string;
  readonly createdMs: number;
  readonly updatedMs: number;
  readonly packageDigest: string | null;
  readonly rootDigest: string | null;
  readonly keyId: string | null;
  readonly signature: {
    readonly dsseEnvelope: { readonly signatures: readonly [{ readonly sig: string }] };
  } | null;
  readonly servingFile: string | null;
  readonly aliases: readonly string[];
};

/** A page of a search, with the key to go on after each row. */
export type Found<Row> = { readonly row: Row; readonly key: (string | null)[] };
export type Search = {
  readonly where: readonly SQL[];
  readonly terms: readonly OrderTerm[];
  readonly after?: readonly (string | null)[] | undefined;
  readonly limit: number;
};

/** A model as MLflow sees it. */
export type ModelView = {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly tags: Tags;
  readonly createdMs: number;
  readonly updatedMs: number;
};

export type RegistryRepository = ReturnType<typeof createRegistryRepository>;

type Tables = Pick<ModelTables, 'models' | 'aliases'> &
  Pick<VersionTables, 'modelVersions' | 'packages'> & { modelRegistrations: ModelRegistrationTable };

const ms = (column: SQL): SQL => sql`floor(extract(epoch from ${column}) * 1000)::bigint`;
const all = (where: readonly SQL[]): SQL =>
  where.length === 0 ? sql`true` : sql.join([...where], sql` and `);

/** Reads models and versions as one relation each, for MLflow's views and searches. */
export function createRegistryRepository(tables: Tables) {
  const { models, aliases, modelVersions, packages, modelRegistrations } = tables;
  /** Versions `v` of a tenant: those that are registered, and what is on its way or was refused. */
  const relation = (tenant: string): SQL => sql`(
    select x.id, x.model_id, m.name, x.ordinal, x.label, x.stage, 'READY' as status, '' as status_message,
      coalesce(r.source, '') as source, coalesce(r.run_id, '') as run_id, coalesce(r.run_link, '') as run_link,
      coalesce(r.logged_model_id, '') as logged_model_id, x.description, x.tags, x.created_by,
      ${ms(sql`x.created_at`)} as created_ms, ${ms(sql`greatest(x.updated_at, x.stage_changed_at)`)} as updated_ms,
      x.package_digest, x.serving_file
    from ${modelVersions} x
    join ${models} m on m.id = x.model_id and m.tenant = ${tenant} and m.deleted_at is null
    left join ${modelRegistrations} r on r.model_version_id = x.id
    union all
    select r.id, r.model_id, m.name, r.ordinal, null, null, r.status, r.status_message, r.source, r.run_id,
      r.run_link, r.logged_model_id, r.description, r.tags, r.created_by, r.created_ms, r.updated_ms, null, null
    from ${modelRegistrations} r
    join ${models} m on m.id = r.model_id and m.tenant = ${tenant} and m.deleted_at is null
    where r.model_version_id is null
  )`;

  return {
    /** Whether a version `v` is the newest of its stage, among those of these models. */
    isNewestOfStage: (modelIds: readonly string[]): SQL =>
      sql`v.id in (select distinct on (n.model_id, n.stage) n.id from ${modelVersions} n
        where n.model_id = any(${sql.param([...modelIds])}::uuid[]) order by n.model_id, n.stage, n.ordinal desc)`,

    async versions(db: Executor, tenant: string, search: Search): Promise<Found<VersionView>[]> {
      const { where, terms, after, limit } = search;
      const conditions = after === undefined ? where : [...where, afterSql(terms, after)];
      const { rows } = await db.execute<
        Record<string, unknown> & VersionView & { key: (string | null)[] }
      >(sql`
        select v.id, v.model_id as "modelId", v.name, v.ordinal, v.label, v.stage, v.status,
          v.status_message as "statusMessage", v.source, v.run_id as "runId", v.run_link as "runLink",
          v.logged_model_id as "loggedModelId", v.description, v.tags, v.created_by as "createdBy",
          v.created_ms::float8 as "createdMs", v.updated_ms::float8 as "updatedMs",
          v.package_digest as "packageDigest", p.root_digest as "rootDigest", p.key_id as "keyId", p.signature,
          v.serving_file as "servingFile",
          array(select a.alias from ${aliases} a where a.model_version_id = v.id order by 1) as aliases,
          ${rowKeySql(terms)} as key
        from ${relation(tenant)} v left join ${packages} p on p.package_digest = v.package_digest
        where ${all(conditions)} order by ${orderSql(terms)} limit ${limit}`);
      return rows.map(({ key, ...row }) => ({ row, key }));
    },

    async models(db: Executor, tenant: string, search: Search): Promise<Found<ModelView>[]> {
      const { where, terms, after, limit } = search;
      const conditions = [
        sql`m.tenant = ${tenant}`,
        sql`m.deleted_at is null`,
        ...where,
        ...(after === undefined ? [] : [afterSql(terms, after)]),
      ];
      const { rows } = await db.execute<Record<string, unknown> & ModelView & { key: (string | null)[] }>(sql`
        select m.id, m.name, m.description, m.tags, ${ms(sql`m.created_at`)}::float8 as "createdMs",
          ${ms(sql`m.updated_at`)}::float8 as "updatedMs", ${rowKeySql(terms)} as key
        from ${models} m where ${all(conditions)} order by ${orderSql(terms)} limit ${limit}`);
      return rows.map(({ key, ...row }) => ({ row, key }));
    },

    /** Aliases of models, with the number of the version that each points to. */
    async aliasesOf(
      db: Executor,
      modelIds: readonly string[],
    ): Promise<{ modelId: string; alias: string; ordinal: number }[]> {
      const { rows } = await db.execute<{ modelId: string; alias: string; ordinal: number }>(sql`
        select a.model_id as "modelId", a.alias, x.ordinal from ${aliases} a
        join ${modelVersions} x on x.id = a.model_version_id
        where a.model_id = any(${sql.param([...modelIds])}::uuid[]) order by a.alias`);
      return rows;
    },
  };
}
