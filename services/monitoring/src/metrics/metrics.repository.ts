import type { Database } from '@millrace/database';
import type { PoolClient } from 'pg';
import { inTransaction } from '../in-transaction.ts';
import type { LatencySketch } from '../rollups/latency-sketch.ts';
import { addToSketch, LATENCY_MAX_MS, LATENCY_MIN_MS, LOG_GAMMA } from '../rollups/latency-sketch.ts';
import { CONFIDENCE_BINS, CONFIDENCE_MAX } from '../rollups/rollup-counts.ts';
import type { Segment } from '../rollups/time-cover.ts';
import { instant } from '../time-range.ts';

/** Predictions of a model; of one version or stage where it is named. */
export type MetricsFilter = {
  tenant: string;
  modelId: string;
  version?: string | undefined;
  stage?: string | undefined;
};

/** What predictions are kept apart by; without a name they are all one group. */
export type Grouping = {
  readonly groupBy?: 'version' | 'stage' | undefined;
  /** By the start of their roll-up too. */
  readonly byStart: boolean;
};

/** Exact sums over the predictions of a group; version and stage are empty where they do not part groups. */
export type MetricsSums = {
  version: string;
  stage: string;
  /** Milliseconds since 1970; null where groups are not by start. */
  start: number | null;
  predictions: number;
  latencyNs: number;
  confidences: number;
  confidenceNano: number;
  sizeBytes: number;
  judged: number;
  correct: number;
};

export type Sketched = MetricsSums & { sketch: LatencySketch };

export type MetricsRepository = {
  /** Sums over all predictions of the segments; undefined without any. */
  total(filter: MetricsFilter, segments: readonly Segment[]): Promise<MetricsSums | undefined>;
  /** Sums and sketches of latencies over the segments, by group. */
  sketched(filter: MetricsFilter, segments: readonly Segment[], grouping: Grouping): Promise<Sketched[]>;
  /** Counts of confidences in equal parts of [0, 1]. */
  confidenceBins(filter: MetricsFilter, segments: readonly Segment[]): Promise<number[]>;
};

// $1 tenant, $2 model, $3 version, $4 stage; $5 to $7 the segments, each of which is one range of the primary key
const ROLLED = `
  from unnest($5::int[], $6::timestamptz[], $7::timestamptz[]) as s(width, from_at, to_at)
  cross join lateral (
    select * from monitoring.rollups r where r.tenant = $1 and r.model = $2 and r.width_seconds = s.width
      and r.start_at >= s.from_at and r.start_at < s.to_at
    offset 0
  ) as r`;
const ROLLED_WHERE = 'where ($3::text is null or r.version = $3) and ($4::text is null or r.stage = $4)';
const RAW_WHERE = `p.tenant = $1 and p.model = $2 and p.at >= $5 and p.at < $6
  and ($3::text is null or p.version = $3) and ($4::text is null or p.stage = $4)`;

/** Columns that part the groups; predictions that no roll-up stands for have no start. */
function groupColumns(table: 'r' | 'p', { groupBy, byStart }: Grouping): string {
  const column = (name: 'version' | 'stage'): string => (groupBy === name ? `${table}.${name}` : "''");
  const start = byStart && table === 'r' ? '(extract(epoch from r.start_at) * 1000)::float8' : 'null::float8';
  return `${column('version')} as version, ${column('stage')} as stage, ${start} as start`;
}

const rolledSums = (grouping: Grouping): string => `
  select ${groupColumns('r', grouping)}, sum(r.predictions)::float8 as predictions,
    sum(r.latency_ns)::float8 as "latencyNs", sum(r.confidences)::float8 as confidences,
    sum(r.confidence_nano)::float8 as "confidenceNano", sum(r.size_bytes)::float8 as "sizeBytes",
    sum(r.judged)::float8 as judged, sum(r.correct)::float8 as correct
  ${ROLLED} ${ROLLED_WHERE} group by 1, 2, 3`;

// whole numbers made as the roll-ups make them, so that the parts add up to what one sum over all rows would give
const rawSums = (grouping: Grouping): string => `
  select ${groupColumns('p', grouping)}, count(*)::float8 as predictions,
    sum(floor(least(p.latency_ms, ${LATENCY_MAX_MS}) * 1e6 + 0.5)::bigint)::float8 as "latencyNs",
    count(p.confidence)::float8 as confidences,
    coalesce(sum(floor(least(greatest(p.confidence, -${CONFIDENCE_MAX}), ${CONFIDENCE_MAX}) * 1e9 + 0.5)::bigint)
      filter (where p.confidence is not null), 0)::float8 as "confidenceNano",
    sum(p.size_bytes)::float8 as "sizeBytes", count(f.correct)::float8 as judged,
    count(*) filter (where f.correct)::float8 as correct
  from monitoring.predictions p
  left join monitoring.feedback f on f.inference_id = p.id and f.tenant = p.tenant and f.is_matched
  where ${RAW_WHERE} group by 1, 2, 3`;

/** One row a group, with its bins as texts, which are read several times as fast as arrays. */
const asSketches = (bins: string): string => `
  select version, stage, start, array_to_string(array_agg(key), ',') as keys,
    array_to_string(array_agg(count), ',') as counts
  from (${bins}) as b group by 1, 2, 3`;

// by start there is hardly a bin to add to another, so that Postgres only hands them over
const rolledBins = (grouping: Grouping): string =>
  grouping.byStart
    ? `
    select ${groupColumns('r', grouping)}, array_to_string(r.latency_keys, ',') as keys,
      array_to_string(r.latency_counts, ',') as counts
    ${ROLLED} ${ROLLED_WHERE}`
    : asSketches(`
    select ${groupColumns('r', grouping)}, b.key, sum(b.count)::bigint as count
    ${ROLLED} cross join unnest(r.latency_keys, r.latency_counts) as b(key, count)
    ${ROLLED_WHERE} group by 1, 2, 3, 4`);

const rawBins = (grouping: Grouping): string =>
  asSketches(`
    select ${groupColumns('p', grouping)},
      ceil(ln(least(greatest(p.latency_ms, ${LATENCY_MIN_MS}), ${LATENCY_MAX_MS})) / ${LOG_GAMMA})::int as key,
      count(*) as count
    from monitoring.predictions p where ${RAW_WHERE} group by 1, 2, 3, 4`);

const ROLLED_CONFIDENCES = `
  select (b.place - 1)::int as place, sum(b.count)::float8 as count
  ${ROLLED} cross join unnest(r.confidence_bins) with ordinality as b(count, place)
  ${ROLLED_WHERE} group by 1`;

const RAW_CONFIDENCES = `
  select least(${CONFIDENCE_BINS - 1}, greatest(0, floor(p.confidence * ${CONFIDENCE_BINS})))::int as place,
    count(*)::float8 as count
  from monitoring.predictions p where p.confidence is not null and ${RAW_WHERE} group by 1`;

type Statements = { readonly rolled: string; readonly raw: string };
type Bins = Pick<MetricsSums, 'version' | 'stage' | 'start'> & {
  /** Whole numbers with commas between them. */
  keys: string;
  counts: string;
};

async function read<Row extends object>(
  client: PoolClient,
  filter: MetricsFilter,
  segments: readonly Segment[],
  { rolled, raw }: Statements,
): Promise<Row[]> {
  const own = [filter.tenant, filter.modelId, filter.version ?? null, filter.stage ?? null];
  const found: Row[] = [];
  const wide = segments.filter(({ widthMs }) => widthMs > 0);
  if (wide.length > 0) {
    const columns = [
      wide.map(({ widthMs }) => widthMs / 1000),
      wide.map(({ from }) => instant(from)),
      wide.map(({ to }) => instant(to)),
    ];
    found.push(...(await client.query<Row>(rolled, [...own, ...columns])).rows);
  }
  for (const { widthMs, from, to } of segments) {
    if (widthMs > 0) continue;
    found.push(...(await client.query<Row>(raw, [...own, instant(from), instant(to)])).rows);
  }
  return found;
}

const keyOf = ({ version, stage, start }: Pick<MetricsSums, 'version' | 'stage' | 'start'>): string =>
  JSON.stringify([version, stage, start]);

const SUMMED = [
  'predictions',
  'latencyNs',
  'confidences',
  'confidenceNano',
  'sizeBytes',
  'judged',
  'correct',
] as const;

/** Adds sums to others of the same group. */
function addSums(to: MetricsSums, more: MetricsSums): void {
  for (const name of SUMMED) to[name] += more[name];
}

function addBins(sketch: LatencySketch, { keys, counts }: Bins): void {
  // roll-ups of verdicts alone have none
  if (keys === '') return;
  const numbers = counts.split(',');
  for (const [index, key] of keys.split(',').entries())
    addToSketch(sketch, Number(key), Number(numbers[index]));
}

function merged(rows: readonly MetricsSums[]): Map<string, MetricsSums> {
  const found = new Map<string, MetricsSums>();
  for (const row of rows) {
    const known = found.get(keyOf(row));
    if (known === undefined) found.set(keyOf(row), row);
    else addSums(known, row);
  }
  return found;
}

/** Metrics from roll-ups, and from predictions where a range begins or ends within a minute. */
export function createMetricsRepository(database: Database): MetricsRepository {
  // one view of the tables for all statements of a question
  const inOneView = <T>(work: (client: PoolClient) => Promise<T>): Promise<T> =>
    inTransaction(database, work, 'begin isolation level repeatable read read only');
  const sumsOf = async (
    client: PoolClient,
    filter: MetricsFilter,
    segments: readonly Segment[],
    grouping: Grouping,
  ): Promise<Map<string, MetricsSums>> => {
    const statements = { rolled: rolledSums(grouping), raw: rawSums(grouping) };
    return merged(await read<MetricsSums>(client, filter, segments, statements));
  };

  return {
    total: (filter, segments) =>
      inOneView(async (client) => {
        const [total] = (await sumsOf(client, filter, segments, { byStart: false })).values();
        return total;
      }),
    sketched: (filter, segments, grouping) =>
      inOneView(async (client) => {
        const found = new Map<string, Sketched>();
        for (const [key, sums] of await sumsOf(client, filter, segments, grouping))
          found.set(key, { ...sums, sketch: new Map() });
        const statements = { rolled: rolledBins(grouping), raw: rawBins(grouping) };
        for (const bins of await read<Bins>(client, filter, segments, statements)) {
          const sketch = found.get(keyOf(bins))?.sketch;
          if (sketch !== undefined) addBins(sketch, bins);
        }
        return [...found.values()];
      }),
    confidenceBins: (filter, segments) =>
      inOneView(async (client) => {
        const bins = new Array<number>(CONFIDENCE_BINS).fill(0);
        const statements = { rolled: ROLLED_CONFIDENCES, raw: RAW_CONFIDENCES };
        for (const { place, count } of await read<{ place: number; count: number }>(
          client,
          filter,
          segments,
          statements,
        ))
          bins[place] = (bins[place] ?? 0) + count;
        return bins;
      }),
  };
}
