import { instant } from '../time-range.ts';

/** Which predictions; times are ms since 1970, the end is inclusive. */
export type EventFilter = {
  tenant: string;
  modelId?: string | undefined;
  version?: string | undefined;
  userId?: string | undefined;
  startTime?: number | undefined;
  endTime?: number | undefined;
};

/** Place of a prediction in the order of all: its time with microseconds (ISO 8601) and its id. */
export type EventPlace = readonly [time: string, id: string];

const EVENT_COLUMNS = `p.id, p.at, p.model, p.version, p.stage, p.framework, p.user_id as "userId",
  p.session_id as "sessionId", p.inputs, p.outputs, p.confidence, p.latency_ms as "latencyMs", f.correct, f.outcome,
  to_char(p.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as "atText"`;

/** A statement and its values. */
export type Query = { readonly text: string; readonly values: unknown[] };

/** One prediction of a tenant by its id. */
export function eventById(tenant: string, id: string): Query {
  return {
    text: `select ${EVENT_COLUMNS} from monitoring.predictions p
      left join monitoring.feedback f on f.inference_id = p.id and f.tenant = p.tenant
      where p.id = $1 and p.tenant = $2`,
    values: [id, tenant],
  };
}

/**
 * The newest predictions of a filter, those behind `after` where it is given. Every bound of the time is a condition on
 * `at` alone as well, by which Postgres leaves out the days that cannot have any.
 */
export function eventPage(filter: EventFilter, limit: number, after?: EventPlace): Query {
  const values: unknown[] = [];
  const value = (one: unknown): string => `$${values.push(one)}`;
  const conditions: string[] = [`p.tenant = ${value(filter.tenant)}`];
  const { modelId, version, userId, startTime, endTime } = filter;
  if (modelId !== undefined) conditions.push(`p.model = ${value(modelId)}`);
  if (version !== undefined) conditions.push(`p.version = ${value(version)}`);
  if (userId !== undefined) conditions.push(`p.user_id = ${value(userId)}`);
  if (startTime !== undefined) conditions.push(`p.at >= ${value(new Date(startTime))}`);
  if (endTime !== undefined) conditions.push(`p.at < ${value(instant(endTime + 1))}`);
  if (after !== undefined) {
    const [time, id] = [value(after[0]), value(after[1])];
    conditions.push(`p.at <= ${time}::timestamptz and (p.at, p.id) < (${time}::timestamptz, ${id}::uuid)`);
  }
  return {
    text: `select ${EVENT_COLUMNS}
      from (
        select * from monitoring.predictions p where ${conditions.join(' and ')}
        order by p.at desc, p.id desc limit ${value(limit)}
      ) p
      left join monitoring.feedback f on f.inference_id = p.id and f.tenant = p.tenant
      order by p.at desc, p.id desc`,
    values,
  };
}
