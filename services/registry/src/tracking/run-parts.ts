import type { Executor } from '@millrace/database';
import type { SQL } from 'drizzle-orm';
import { sql } from 'drizzle-orm';
import type { RunTables } from './run.table.ts';

/** Runs that one query reads; several go at once, each on a connection and a core of its own. */
const PIECE_RUNS = 500;
const PIECES_AT_ONCE = 2;

/** What a run holds beside its row, each a JSON array as it goes over the wire. */
export type RunParts = Readonly<
  Record<'metrics' | 'params' | 'tags' | 'dataset_inputs' | 'model_inputs' | 'model_outputs', string>
>;

/** Reads everything that runs hold, in the order of the ids. */
export async function readRunParts(
  db: Executor,
  tables: RunTables,
  ids: readonly string[],
): Promise<RunParts[]> {
  const pieces = Array.from({ length: Math.ceil(ids.length / PIECE_RUNS) }, (_, index) =>
    ids.slice(index * PIECE_RUNS, (index + 1) * PIECE_RUNS),
  );
  const read: RunParts[][] = pieces.map(() => []);
  const waiting = pieces.entries();
  const lane = async (): Promise<void> => {
    for (const [index, piece] of waiting) read[index] = await readPiece(db, tables, piece);
  };
  await Promise.all(Array.from({ length: PIECES_AT_ONCE }, lane));
  return read.flat();
}

/** Postgres writes the JSON, most of what a search costs; rows as they are cost it a quarter less than objects that are built. */
async function readPiece(
  db: Executor,
  { runLatestMetrics, runParams, runTags, runDatasets, runModels }: RunTables,
  ids: readonly string[],
): Promise<RunParts[]> {
  const rowsOf = (table: SQL, columns: SQL) =>
    sql`coalesce((select json_agg(x order by x.key collate "C")::text
      from (select ${columns} from ${table} y where y.run_id = r.id offset 0) x), '[]')`;
  const models = (direction: 'input' | 'output', fields: SQL) =>
    sql`coalesce((select json_agg(json_build_object(${fields}) order by x.model_id)::text from ${runModels} x
      where x.run_id = r.id and x.direction = ${direction}), '[]')`;
  // NaN and the infinities become texts, as proto JSON wants them
  const { rows } = await db.execute<RunParts>(sql`
    select
      ${rowsOf(sql`${runLatestMetrics}`, sql`y.key, y.value, y.timestamp_ms as "timestamp", y.step`)} as metrics,
      ${rowsOf(sql`${runParams}`, sql`y.key, y.value`)} as params,
      ${rowsOf(sql`${runTags}`, sql`y.key, y.value`)} as tags,
      coalesce((select json_agg(json_build_object('tags', x.tags, 'dataset', json_strip_nulls(json_build_object(
        'name', x.name, 'digest', x.digest, 'source_type', x.source_type, 'source', x.source, 'schema', x.schema,
        'profile', x.profile))) order by x.name)::text from ${runDatasets} x where x.run_id = r.id), '[]') as dataset_inputs,
      ${models('input', sql`'model_id', x.model_id`)} as model_inputs,
      ${models('output', sql`'model_id', x.model_id, 'step', x.step`)} as model_outputs
    from unnest(${sql.param(ids)}::uuid[]) with ordinality as r (id, place) order by r.place`);
  return rows;
}
