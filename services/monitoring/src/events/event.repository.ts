import type { Prediction } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { toDatabaseError } from '@millrace/database';
import type { EventFilter, EventPlace, Query } from './event-page.ts';
import { eventById, eventPage } from './event-page.ts';

export type StoredEvent = {
  id: string;
  at: Date;
  /** With microseconds, which a date has not. */
  atText: string;
  model: string;
  version: string;
  stage: string;
  framework: string;
  userId: string | null;
  sessionId: string | null;
  inputs: Prediction['inputs'];
  outputs: Prediction['outputs'];
  confidence: number | null;
  latencyMs: number;
  correct: boolean | null;
  outcome: unknown;
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
  /** Newest first; those behind `after` where it is given. */
  list(filter: EventFilter, limit: number, after?: EventPlace): Promise<StoredEvent[]>;
  /** One prediction of a tenant by its id; undefined when it is not (or no longer) there. */
  find(tenant: string, id: string): Promise<StoredEvent | undefined>;
  /** What came of each version of a tenant: predictions made = stored + dropped + those of missing batches. */
  ingest(tenant: string): Promise<VersionIngest[]>;
};

const INGEST = `
  select model_version_id as "modelVersionId", max(model) as model, max(version) as version,
         sum(stored)::float8 as stored, sum(dropped)::float8 as dropped,
         sum(max_sequence + 1 - batches)::float8 as "missingBatches"
  from monitoring.prediction_sources where tenant = $1
  group by model_version_id order by max(model), model_version_id`;

/** Stored predictions. Throws `database_unavailable` while Postgres is away. */
export function createEventRepository({ pool }: Database): EventRepository {
  async function run<Row extends object>({ text, values }: Query): Promise<Row[]> {
    try {
      return (await pool.query<Row>(text, values)).rows;
    } catch (error) {
      throw toDatabaseError(error);
    }
  }
  return {
    list: (filter, limit, after) => run<StoredEvent>(eventPage(filter, limit, after)),
    find: async (tenant, id) => (await run<StoredEvent>(eventById(tenant, id)))[0],
    ingest: (tenant) => run<VersionIngest>({ text: INGEST, values: [tenant] }),
  };
}
