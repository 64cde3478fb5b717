import type { Executor } from '@millrace/database';
import type { SQL } from 'drizzle-orm';
import { sql } from 'drizzle-orm';
import type { RunRepository } from './run.repository.ts';
import type { RunTables } from './run.table.ts';
import type { RunCondition, RunOrder } from './run-search.ts';

/** A condition that fits so many runs is answered by its index first; one that fits more is checked run by run. */
const NARROW_MAX = 20_000;

/** Ids of runs, and their keys as JSON. */
type RunPage = { id: string; key: string }[];

/**
 * Finds a page of runs by one of three ways, since the planner cannot know how many runs a metric's range holds:
 * from the runs that fit all narrow conditions; else along the index of the metric that is ordered by; else along
 * the order itself, which for the newest first is an index too.
 */
export async function findRunPage(
  db: Executor,
  runs: RunRepository,
  tables: Pick<RunTables, 'runs'>,
  search: {
    where: readonly SQL[];
    conditions: readonly RunCondition[];
    order: RunOrder;
    after: readonly (string | null)[] | undefined;
    limit: number;
  },
): Promise<RunPage> {
  const { where, conditions, order, after, limit } = search;
  const { joins, terms, walk } = order;
  const joined = sql.join([...joins], sql` `);
  const isNarrow = await Promise.all(
    conditions.map(
      async ({ source }) =>
        source !== undefined && (await runs.countSource(db, source, NARROW_MAX + 1)) <= NARROW_MAX,
    ),
  );
  const narrow = conditions.flatMap(({ source }, index) =>
    isNarrow[index] === true && source ? [source] : [],
  );
  const wide = conditions.flatMap((condition, index) => (isNarrow[index] === true ? [] : [condition.where]));
  if (narrow.length > 0) {
    const hits = sql.join(
      narrow.map((source) => sql`(${source})`),
      sql` intersect `,
    );
    const from = sql`(${hits} offset 0) as hits join ${tables.runs} on ${tables.runs.id} = hits.run_id ${joined}`;
    return await runs.search(db, { from, where: [...where, ...wide], terms, after, limit });
  }
  const all = [...where, ...conditions.map((condition) => condition.where)];
  if (walk !== undefined && (after === undefined || after[0] === '0')) {
    const walked = await runs.search(db, {
      from: walk.from,
      where: [...all, walk.where],
      // behind the rank, which is 0 for all of these
      terms: terms
        .slice(1)
        .map((term, index) => (index === 0 ? { ...term, isFromAscendingIndex: true } : term)),
      // with the rank, by which the next page knows that it goes on here
      keyTerms: terms,
      after: after?.slice(1),
      limit,
    });
    if (walked.length === limit) return walked;
  }
  return await runs.search(db, { from: sql`${tables.runs} ${joined}`, where: all, terms, after, limit });
}
