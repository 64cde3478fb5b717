import type { Prediction } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { toDatabaseError } from '@millrace/database';

export type EventFilter = {
  tenant: string;
  modelId?: string;
  userId?: string;
  startTime?: number;
  endTime?: number;
};

export type StoredEvent = {
  id: string;
  at: Date;
  model: string;
  version: string;
  framework: string;
  inputs: Prediction['inputs'];
  outputs: Prediction['outputs'];
  confidence: number | null;
  latencyMs: number;
  correct: boolean | null;
};

export type ModelMetrics = {
  count: number;
  avgLatency: number | null;
  avgConfidence: number | null;
  accuracy: number | null;
};

export type VersionIngest = {
  modelVersionId: string;
  model: string;
  version: string;
  stored: number;
  dropped: number;
  missingBatches: number;
};

export type EventRepository = {
  /** Newest first. */
  list(filter: EventFilter, limit: number): Promise<StoredEvent[]>;
  /** One prediction of a tenant by its id; undefined when it is not (or no longer) there. */
  find(tenant: string, id: string): Promise<StoredEvent | undefined>;
  metrics(filter: EventFilter): Promise<ModelMetrics>;
  /** What came of each version of a tenant: predictions made = stored + dropped + those of missing batches. */
  ingest(tenant: string): Promise<VersionIngest[]>;
};

const EVENT_COLUMNS = `p.id, p.at, p.model, p.version, p.framework, p.inputs, p.outputs, p.confidence,
  p.latency_ms as "latencyMs", f.correct`;

/** Conditions and values of a filter; times are ms since 1970, the end is inclusive. */
function where(filter: EventFilter): { text: string; values: unknown[] } {
  const values: unknown[] = [];
  const conditions: string[] = [];
  const add = (condition: string, value: unknown): void => {
    if (value === undefined) return;
    values.push(value);
    conditions.push(condition.replace('?', `$${values.length}`));
  };
  const date = (ms: number | undefined): Date | undefined => (ms === undefined ? undefined : new Date(ms));
  add('p.tenant = ?', filter.tenant);
  add('p.model = ?', filter.modelId);
  add('p.user_id = ?', filter.userId);
  add('p.at >= ?', date(filter.startTime));
  add("p.at < ?::timestamptz + interval '1 millisecond'", date(filter.endTime));
  return { text: `where ${conditions.join(' and ')}`, values };
}

/** Stored predictions. Throws `database_unavailable` while Postgres is away. */
export function createEventRepository({ pool }: Database): EventRepository {
  const failed = (error: unknown): never => {
    throw toDatabaseError(error);
  };
  return {
    async list(filter, limit) {
      const { text, values } = where(filter);
      const { rows } = await pool
        .query<StoredEvent>(
          `select ${EVENT_COLUMNS}
           from (select * from monitoring.predictions p ${text} order by p.at desc, p.id desc limit $${values.length + 1}) p
           left join monitoring.feedback f on f.inference_id = p.id and f.tenant = p.tenant
           order by p.at desc, p.id desc`,
          [...values, limit],
        )
        .catch(failed);
      return rows;
    },
    async find(tenant, id) {
      const { rows } = await pool
        .query<StoredEvent>(
          `select ${EVENT_COLUMNS} from monitoring.predictions p
           left join monitoring.feedback f on f.inference_id = p.id and f.tenant = p.tenant
           where p.id = $1 and p.tenant = $2`,
          [id, tenant],
        )
        .catch(failed);
      return rows[0];
    },
    async metrics(filter) {
      const { text, values } = where(filter);
      const { rows } = await pool
        .query<ModelMetrics>(
          `select count(*)::float8 as count, avg(p.latency_ms) as "avgLatency", avg(p.confidence) as "avgConfidence",
                  avg(case f.correct when true then 1.0 when false then 0.0 end)::float8 as accuracy
           from monitoring.predictions p left join monitoring.feedback f on f.inference_id = p.id and f.tenant = p.tenant ${text}`,
          values,
        )
        .catch(failed);
      return rows[0] ?? { count: 0, avgLatency: null, avgConfidence: null, accuracy: null };
    },
    async ingest(tenant) {
      const { rows } = await pool
        .query<VersionIngest>(
          `select model_version_id as "modelVersionId", max(model) as model, max(version) as version,
                  sum(stored)::float8 as stored, sum(dropped)::float8 as dropped,
                  sum(max_sequence + 1 - batches)::float8 as "missingBatches"
           from monitoring.prediction_sources where tenant = $1
           group by model_version_id order by max(model), model_version_id`,
          [tenant],
        )
        .catch(failed);
      return rows;
    },
  };
}
