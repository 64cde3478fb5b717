import type { Database, Executor } from '@millrace/database';
import { toDatabaseError } from '@millrace/database';
import { sql } from 'drizzle-orm';
import type { StoredRow } from './row-reader.ts';

/** The newest row of an entity. */
export type ValueRow = {
  readonly entity: string;
  readonly eventUs: number;
  readonly createdUs: number;
  readonly values: Readonly<Record<string, unknown>>;
};

/** Writers of one view wait for each other where entities share one of so many locks; a power of two. */
const WRITE_LOCKS = 64;

/** What a write did: rows that are new in the history, and entities whose newest row is another now. */
export type Written = { readonly added: number; readonly newest: number };

/** One question of a training set: the row of an entity as of a time; `n` is its place. */
export type AsOf = { readonly n: number; readonly entity: string; readonly atUs: number };

const READ = `select entity, event_us::float8 as "eventUs", created_us::float8 as "createdUs", body as values
  from datasets.feature_values where view_id = $1 and entity = any($2)`;

/**
 * The newest row that had happened at each time and, if asked, was known then; corrections of one event come in the
 * order they became known. A row older than the TTL hides none that counts, so it is left out afterwards.
 */
const AS_OF = `select q.n, h.event_us::float8 as "eventUs", h.created_us::float8 as "createdUs", h.body as values
  from unnest($2::int[], $3::text[], $4::bigint[]) as q(n, entity, at_us)
  cross join lateral (
    select event_us, created_us, body from datasets.feature_history
    where view_id = $1 and entity = q.entity and event_us <= q.at_us and (not $5::boolean or created_us <= q.at_us)
    order by event_us desc, created_us desc, seq desc limit 1
  ) h`;

export type FeatureValueRepository = ReturnType<typeof createFeatureValueRepository>;

/** Rows of feature views: the newest of each entity, and all there were. */
export function createFeatureValueRepository(pool: Database['pool']) {
  /** Sends a statement under a name, which Postgres then plans once for each connection. */
  async function ask<Row extends Record<string, unknown>>(
    name: string,
    text: string,
    values: unknown[],
  ): Promise<Row[]> {
    try {
      return (await pool.query<Row>({ name, text, values })).rows;
    } catch (error) {
      throw toDatabaseError(error);
    }
  }

  return {
    /** The newest rows of these entities; absent where there is none. */
    newest: (viewId: string, entities: readonly string[]): Promise<ValueRow[]> =>
      ask<ValueRow>('feature-values', READ, [viewId, entities]),

    /** The row each question is about, with its `n`; absent where there is none. */
    asOf: (viewId: string, questions: readonly AsOf[], isKnownOnly: boolean) =>
      ask<Omit<ValueRow, 'entity'> & { n: number }>('feature-as-of', AS_OF, [
        viewId,
        questions.map(({ n }) => n),
        questions.map(({ entity }) => entity),
        questions.map(({ atUs }) => atUs),
        isKnownOnly,
      ]),

    /**
     * Adds rows to the history and makes those the newest that are: by time of the event, then by when they became
     * known, then by when they were written. A row that says what its event was known to be already is not added.
     */
    async write(tx: Executor, viewId: string, rows: readonly StoredRow[]): Promise<Written> {
      const entities = JSON.stringify(rows.map(({ entity }) => entity));
      // a statement of its own, so that the next one sees what was committed while this one waited
      await tx.execute(sql`
        select pg_advisory_xact_lock(key) from (
          select distinct hashtextextended(${viewId}::text || (hashtext(entity) & ${WRITE_LOCKS - 1}::int)::text, 0) as key
          from jsonb_array_elements_text(${entities}::jsonb) as entity order by key
        ) as locks`);
      const given = rows.map(({ entity, eventUs, createdUs, json }, n) => ({
        n,
        entity,
        event_us: eventUs,
        created_us: createdUs,
        body: json,
      }));
      const { rows: counts } = await tx.execute<Written>(sql`
        with given as (
          select *, count(*) over (partition by entity, event_us) as said
          from jsonb_to_recordset(${JSON.stringify(given)}::jsonb)
            as g(n int, entity text, event_us bigint, created_us bigint, body text)
        ), added as (
          insert into datasets.feature_history (view_id, entity, event_us, created_us, body)
          select ${viewId}::uuid, g.entity, g.event_us, g.created_us, g.body::json from given g
          where g.said > 1 or g.body is distinct from (
            select h.body::text from datasets.feature_history h
            where h.view_id = ${viewId}::uuid and h.entity = g.entity and h.event_us = g.event_us
              and h.created_us <= g.created_us
            order by h.created_us desc, h.seq desc limit 1
          )
          order by g.n
          returning entity, event_us, created_us, seq, body
        ), newest as (
          insert into datasets.feature_values as v (view_id, entity, event_us, created_us, seq, body)
          select distinct on (entity) ${viewId}::uuid, entity, event_us, created_us, seq, body from added
          order by entity, event_us desc, created_us desc, seq desc
          on conflict (view_id, entity) do update
          set event_us = excluded.event_us, created_us = excluded.created_us, seq = excluded.seq, body = excluded.body
          where (excluded.event_us, excluded.created_us, excluded.seq) > (v.event_us, v.created_us, v.seq)
          returning 1
        )
        select (select count(*)::int from added) as added, (select count(*)::int from newest) as newest`);
      return counts[0] ?? { added: 0, newest: 0 };
    },

    /** Removes every row of an entity; false when there was none. */
    async forget(db: Executor, viewId: string, entity: string): Promise<boolean> {
      const { rows } = await db.execute(sql`
        with newest as (
          delete from datasets.feature_values where view_id = ${viewId} and entity = ${entity} returning 1
        ), history as (
          delete from datasets.feature_history where view_id = ${viewId} and entity = ${entity} returning 1
        )
        select 1 where exists (select 1 from newest) or exists (select 1 from history)`);
      return rows.length > 0;
    },
  };
}
