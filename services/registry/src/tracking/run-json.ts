import type { Executor } from '@millrace/database';
import type { SQL } from 'drizzle-orm';
import { sql } from 'drizzle-orm';
import type { RunTables } from './run.table.ts';

/** Runs that one query reads; several go at once, each on a connection and a core of its own. */
const PIECE_RUNS = 500;
const PIECES_AT_ONCE = 2;

/**
 * Reads runs with all they hold as they go over the wire, in the order of the ids: JSON objects with commas between them.
 * Postgres writes all of it, a piece as one text: a value that JavaScript never looks into costs it hardly anything, and
 * thousands of small ones cost its collector more than the whole search costs Postgres. `defaults` are the experiments
 * that clients know as 0.
 */
export async function readRunsJson(
  db: Executor,
  tables: RunTables,
  ids: readonly string[],
  defaults: readonly number[],
): Promise<string> {
  const pieces = Array.from({ length: Math.ceil(ids.length / PIECE_RUNS) }, (_, index) =>
    ids.slice(index * PIECE_RUNS, (index + 1) * PIECE_RUNS),
  );
  const read: string[] = pieces.map(() => '');
  const waiting = pieces.entries();
  const lane = async (): Promise<void> => {
    for (const [index, piece] of waiting) read[index] = await readPiece(db, tables, piece, defaults);
  };
  await Promise.all(Array.from({ length: PIECES_AT_ONCE }, lane));
  return read.filter((piece) => piece !== '').join(',');
}

/** The same fields as runInfoView, which the answer to an update has. */
function infoSql(defaults: readonly number[]): SQL {
  const id = sql`replace(run.id::text, '-', '')`;
  return sql`concat(
    '{"run_id":"', ${id}, '","run_uuid":"', ${id}, '","run_name":', to_json(run.name),
    ',"experiment_id":"', case when run.experiment_id = any(${sql.param(defaults)}::bigint[]) then '0' else run.experiment_id::text end,
    '","user_id":', to_json(run.user_id), ',"status":', to_json(run.status), ',"start_time":', run.start_ms,
    ',"end_time":' || run.end_ms, ',"artifact_uri":', to_json(run.artifact_uri),
    ',"lifecycle_stage":', to_json(run.lifecycle_stage), '}')`;
}

/** Of the rows as they are Postgres makes JSON a quarter faster than of objects that are built. */
async function readPiece(
  db: Executor,
  tables: RunTables,
  ids: readonly string[],
  defaults: readonly number[],
): Promise<string> {
  const { runs, runLatestMetrics, runParams, runTags, runDatasets, runModels } = tables;
  const rowsOf = (table: SQL, columns: SQL) =>
    sql`coalesce((select json_agg(x order by x.key collate "C")::text
      from (select ${columns} from ${table} y where y.run_id = r.id offset 0) x), '[]')`;
  const models = (direction: 'input' | 'output', fields: SQL) =>
    sql`coalesce((select json_agg(json_build_object(${fields}) order by x.model_id)::text from ${runModels} x
      where x.run_id = r.id and x.direction = ${direction}), '[]')`;
  // NaN and the infinities become texts, as proto JSON wants them
  const { rows } = await db.execute<{ runs: string | null }>(sql`
    select string_agg(concat(
      '{"info":', ${infoSql(defaults)}, ',"data":{"metrics":', ${rowsOf(sql`${runLatestMetrics}`, sql`y.key, y.value, y.timestamp_ms as "timestamp", y.step`)},
      ',"params":', ${rowsOf(sql`${runParams}`, sql`y.key, y.value`)},
      ',"tags":', ${rowsOf(sql`${runTags}`, sql`y.key, y.value`)},
      '},"inputs":{"dataset_inputs":', coalesce((select json_agg(json_build_object('tags', x.tags, 'dataset', json_strip_nulls(json_build_object(
        'name', x.name, 'digest', x.digest, 'source_type', x.source_type, 'source', x.source, 'schema', x.schema,
        'profile', x.profile))) order by x.name)::text from ${runDatasets} x where x.run_id = r.id), '[]'),
      ',"model_inputs":', ${models('input', sql`'model_id', x.model_id`)},
      '},"outputs":{"model_outputs":', ${models('output', sql`'model_id', x.model_id, 'step', x.step`)}, '}}'), ',' order by r.place) as runs
    from unnest(${sql.param(ids)}::uuid[]) with ordinality as r (id, place) join ${runs} run on run.id = r.id`);
  return rows[0]?.runs ?? '';
}
