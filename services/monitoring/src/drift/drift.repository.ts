import type { Database } from '@millrace/database';
import { toDatabaseError } from '@millrace/database';
import type { Tensors } from './prediction-features.ts';

/** Predictions read from Postgres at once. */
const PAGE = 1_000;
/** References of a version that are kept; older ones are forgotten. */
const REFERENCES_KEPT = 20;

/** Where a reference comes from. */
export type ReferenceSource =
  | { readonly kind: 'columns' | 'reference' }
  | {
      readonly kind: 'predictions';
      readonly startTime: number;
      readonly endTime: number;
      readonly predictions: number;
      readonly skippedFeatures: number;
    };

/** A reference of a version without its distributions; `digest` is the SHA-256 of their one text. */
export type ReferenceInfo = {
  readonly id: string;
  readonly modelVersionId: string;
  readonly model: string;
  readonly version: string;
  readonly digest: string;
  readonly rows: number;
  readonly features: number;
  readonly source: ReferenceSource;
  readonly createdBy: string;
  readonly createdAt: Date;
};

export type StoredReference = ReferenceInfo & { readonly text: string };

/** A version of a tenant's model, and the time that is meant (ms since 1970, ends inclusive). */
export type PredictionWindow = {
  readonly tenant: string;
  readonly model: string;
  readonly modelVersionId: string;
  readonly startTime: number;
  readonly endTime: number;
};

export type DriftRepository = {
  /** The version of this name that predicted last, or that has the newest reference. */
  findVersion(tenant: string, model: string, version: string): Promise<string | undefined>;
  /** Puts a reference into use; from then on the version's windows are judged. */
  insert(tenant: string, reference: Omit<StoredReference, 'createdAt'>): Promise<Date>;
  /** References of a version, the one in use first. */
  list(tenant: string, modelVersionId: string): Promise<ReferenceInfo[]>;
  find(tenant: string, id: string): Promise<StoredReference | undefined>;
  /** The reference in use: the newest. */
  active(tenant: string, modelVersionId: string): Promise<StoredReference | undefined>;
  /** Inputs and outputs in a window, the newest first, a page at a time. */
  pages(window: PredictionWindow): AsyncGenerator<Tensors[]>;
};

const INFO = `id, model_version_id as "modelVersionId", model, version, digest, row_count as rows,
  feature_count as features, source, created_by as "createdBy", created_at as "createdAt"`;
const OF_VERSION = 'from monitoring.drift_references where tenant = $1 and model_version_id = $2';
const NEWEST = 'order by created_at desc, id desc';

/** References of versions, and the predictions they are compared with. Throws `database_unavailable`. */
export function createDriftRepository({ pool }: Database): DriftRepository {
  const query = async <T extends object>(text: string, values: unknown[]): Promise<T[]> => {
    try {
      return (await pool.query<T>(text, values)).rows;
    } catch (error) {
      throw toDatabaseError(error);
    }
  };

  return {
    async findVersion(tenant, model, version) {
      const [found] = await query<{ id: string }>(
        `select id from (
           select model_version_id as id, last_at as at from monitoring.prediction_sources
           where tenant = $1 and model = $2 and version = $3
           union all
           select model_version_id, created_at from monitoring.drift_references
           where tenant = $1 and model = $2 and version = $3) known
         order by at desc limit 1`,
        [tenant, model, version],
      );
      return found?.id;
    },
    async insert(tenant, one) {
      const [stored] = await query<{ createdAt: Date }>(
        `with stored as (
           insert into monitoring.drift_references
             (id, tenant, model_version_id, model, version, digest, row_count, feature_count, source, reference, created_by)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) returning created_at),
         old as (
           delete from monitoring.drift_references where id in (
             select id from monitoring.drift_references where tenant = $2 and model_version_id = $3
             ${NEWEST} offset ${REFERENCES_KEPT - 1})),
         alarm as (
           insert into monitoring.drift_alarms (tenant, model_version_id, model, version)
           values ($2, $3, $4, $5)
           on conflict (tenant, model_version_id) do update set drifted = 0, stable = 0)
         select created_at as "createdAt" from stored`,
        [
          one.id,
          tenant,
          one.modelVersionId,
          one.model,
          one.version,
          one.digest,
          one.rows,
          one.features,
          JSON.stringify(one.source),
          one.text,
          one.createdBy,
        ],
      );
      return (stored as { createdAt: Date }).createdAt;
    },
    list: (tenant, modelVersionId) =>
      query<ReferenceInfo>(`select ${INFO} ${OF_VERSION} ${NEWEST}`, [tenant, modelVersionId]),
    async find(tenant, id) {
      const rows = await query<StoredReference>(
        `select ${INFO}, reference as text from monitoring.drift_references where tenant = $1 and id = $2`,
        [tenant, id],
      );
      return rows[0];
    },
    async active(tenant, modelVersionId) {
      const rows = await query<StoredReference>(
        `select ${INFO}, reference as text ${OF_VERSION} ${NEWEST} limit 1`,
        [tenant, modelVersionId],
      );
      return rows[0];
    },
    async *pages({ tenant, model, modelVersionId, startTime, endTime }) {
      let before: { key: string; id: string } | undefined;
      for (;;) {
        const rows = await query<Tensors & { id: string; key: string }>(
          `select id, at::text as key, inputs, outputs from monitoring.predictions
           where tenant = $1 and model = $2 and model_version_id = $3 and at >= $4
             and at < $5::timestamptz + interval '1 millisecond'
             and ($6::timestamptz is null or (at, id) < ($6::timestamptz, $7::uuid))
           order by at desc, id desc limit ${PAGE}`,
          [
            tenant,
            model,
            modelVersionId,
            new Date(startTime),
            new Date(endTime),
            before?.key ?? null,
            before?.id ?? null,
          ],
        );
        if (rows.length > 0) yield rows;
        const last = rows.at(-1);
        if (last === undefined || rows.length < PAGE) return;
        before = { key: last.key, id: last.id };
      }
    },
  };
}
