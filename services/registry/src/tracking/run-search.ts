import type { SQL } from 'drizzle-orm';
import { sql } from 'drizzle-orm';
import type { Comparison, Field, FilterDialect } from '../mlflow/filter.ts';
import { parseFilter } from '../mlflow/filter.ts';
import { integerCondition, numberCondition, textCondition } from '../mlflow/filter-sql.ts';
import type { OrderTerm } from '../mlflow/keyset.ts';
import { parseOrderBy } from '../mlflow/order-by.ts';
import { runIdOf, runUuid } from './names.ts';
import type { RunTables } from './run.table.ts';
import { INDEXED_CHARACTERS } from './run.table.ts';

const dialect: FilterDialect = {
  attributes: {
    run_id: 'id',
    run_name: 'text',
    user_id: 'text',
    status: 'text',
    artifact_uri: 'text',
    start_time: 'number',
    end_time: 'number',
  },
  spellings: {
    created: 'start_time',
    Created: 'start_time',
    'run name': 'run_name',
    'Run name': 'run_name',
    'Run Name': 'run_name',
  },
  entities: ['metric', 'param', 'tag', 'dataset'],
};

/** A condition, and where an index can list what fits it, a query that gives the ids of those runs. */
export type RunCondition = { readonly where: SQL; readonly source: SQL | undefined };

/** The conditions of a filter over runs of these experiments. Throws `invalid_filter`. */
export function runConditions(
  tables: RunTables,
  experimentIds: readonly number[],
  filter: string | undefined,
): RunCondition[] {
  const inExperiments = sql`x.experiment_id = ${anyOf(experimentIds)}`;
  return parseFilter(filter, dialect).map((comparison) => {
    switch (comparison.field.entity) {
      case 'attribute':
        return { where: attributeCondition(tables, comparison), source: undefined };
      case 'dataset': {
        const fits = textCondition(sql.raw(`x.${comparison.field.key}`), comparison);
        const source = sql`select 1 from ${tables.runDatasets} x where x.run_id = ${tables.runs.id} and ${fits}`;
        return { where: sql`exists (${source})`, source: undefined };
      }
      default:
        return loggedCondition(tables, inExperiments, comparison);
    }
  });
}

/** `= 5` for one, `= any(…)` for more: only the first lets an index give the order as well. */
export function anyOf(ids: readonly number[]): SQL {
  return ids.length === 1 ? sql`${ids[0]}::bigint` : sql`any(${sql.param(ids)}::bigint[])`;
}

function attributeCondition({ runs }: RunTables, comparison: Comparison): SQL {
  const { field, value } = comparison;
  switch (field.key) {
    case 'run_id': {
      const ids = (Array.isArray(value) ? value : [value as string]).flatMap(asUuid);
      const isIn = sql`${runs.id} = any(${sql.param(ids)}::uuid[])`;
      return comparison.operator === '=' || comparison.operator === 'IN' ? isIn : sql`not ${isIn}`;
    }
    case 'start_time':
      return integerCondition(runs.startMs, comparison);
    case 'end_time':
      return integerCondition(runs.endMs, comparison);
    default:
      return textCondition(columnOf({ runs }, field.key), comparison);
  }
}

/** Run ids in a filter that cannot be any are those of no run. */
function asUuid(id: string): string[] {
  try {
    return runIdOf(runUuid(id)) === id ? [runUuid(id)] : [];
  } catch {
    return [];
  }
}

function columnOf({ runs }: Pick<RunTables, 'runs'>, key: string): SQL {
  const columns: Readonly<Record<string, SQL>> = {
    run_id: sql`${runs.id}`,
    run_name: sql`${runs.name}`,
    user_id: sql`${runs.userId}`,
    status: sql`${runs.status}`,
    artifact_uri: sql`${runs.artifactUri}`,
    start_time: sql`${runs.startMs}`,
    end_time: sql`${runs.endMs}`,
  };
  return columns[key] as SQL;
}

const tableOf = (tables: RunTables, { entity }: Field) => {
  if (entity === 'metric') return tables.runLatestMetrics;
  return entity === 'param' ? tables.runParams : tables.runTags;
};

function loggedCondition(tables: RunTables, inExperiments: SQL, comparison: Comparison): RunCondition {
  const { field, operator, value } = comparison;
  const table = tableOf(tables, field);
  const isOfRun = sql`select 1 from ${table} x where x.run_id = ${tables.runs.id} and ${inExperiments} and x.key = ${field.key}`;
  if (operator === 'IS NULL') return { where: sql`not exists (${isOfRun})`, source: undefined };
  if (operator === 'IS NOT NULL') return { where: sql`exists (${isOfRun})`, source: undefined };
  const fits =
    field.entity === 'metric'
      ? numberCondition(sql`x.value`, comparison)
      : textCondition(sql`x.value`, comparison);
  // the index holds the beginning of each text
  const length = sql.raw(String(INDEXED_CHARACTERS));
  const isEqual = sql`left(x.value, ${length}) = left(${value}::text, ${length})`;
  const byIndex = field.entity === 'metric' ? operator !== '!=' : operator === '=';
  const all = field.entity !== 'metric' && byIndex ? sql`${isEqual} and ${fits}` : fits;
  return {
    where: sql`exists (${isOfRun} and ${all})`,
    source: byIndex
      ? sql`select x.run_id from ${table} x where ${inExperiments} and x.key = ${field.key} and ${all}`
      : undefined,
  };
}

/** An order over runs: what brings the values, the terms, and the index that has the first values in order, if any. */
export type RunOrder = {
  readonly joins: readonly SQL[];
  readonly terms: readonly OrderTerm[];
  /** The runs that have a number in the first metric, from the index; the terms then begin behind its rank. */
  readonly walk: { readonly from: SQL; readonly where: SQL } | undefined;
};

/**
 * The order of runs as MLflow has it: values that are absent last, NaN before them; then the latest start, then the
 * id. Throws `invalid_filter`.
 */
export function runOrder(
  tables: RunTables,
  experimentIds: readonly number[],
  orderBy: readonly string[],
): RunOrder {
  const { runs } = tables;
  const orders = parseOrderBy(orderBy, { ...dialect, entities: ['metric', 'param', 'tag'] });
  const joins: SQL[] = [];
  const terms = orders.flatMap(({ field, isAscending }, index): OrderTerm[] => {
    if (field.entity === 'attribute') return attributeTerms(tables, field.key, isAscending);
    const alias = sql.raw(`o${index}`);
    joins.push(
      sql`left join ${tableOf(tables, field)} ${alias} on ${alias}.run_id = ${runs.id} and ${alias}.key = ${field.key}`,
    );
    if (field.entity !== 'metric')
      return withPresence({ expression: sql`${alias}.value collate "C"`, isAscending, type: 'text' });
    const rank = sql`(case when ${alias}.value is null then 2 when ${alias}.value = 'NaN' then 1 else 0 end)`;
    return [
      { expression: rank, isAscending: true, type: 'integer' },
      { expression: sql`${alias}.value`, isAscending, type: 'double precision' },
    ];
  });
  if (!orders.some(({ field }) => field.entity === 'attribute' && field.key === 'start_time'))
    terms.push({ expression: sql`${runs.startMs}`, isAscending: false, type: 'bigint' });
  terms.push({ expression: sql`${runs.id}`, isAscending: true, type: 'uuid' });
  const first = orders[0]?.field;
  if (first?.entity !== 'metric' || experimentIds.length !== 1) return { joins, terms, walk: undefined };
  const others = sql.join(joins.slice(1), sql` `);
  const walk = {
    from: sql`${tables.runLatestMetrics} o0 join ${runs} on ${runs.id} = o0.run_id ${others}`,
    where: sql`o0.experiment_id = ${anyOf(experimentIds)} and o0.key = ${first.key} and o0.value < 'NaN'::double precision`,
  };
  return { joins, terms, walk };
}

function attributeTerms(tables: RunTables, key: string, isAscending: boolean): OrderTerm[] {
  const expression = columnOf(tables, key);
  if (key === 'start_time') return [{ expression, isAscending, type: 'bigint' }];
  if (key === 'end_time') return withPresence({ expression, isAscending, type: 'bigint' });
  if (key === 'run_id') return [{ expression, isAscending, type: 'uuid' }];
  return [{ expression: sql`${expression} collate "C"`, isAscending, type: 'text' }];
}

function withPresence(term: OrderTerm): OrderTerm[] {
  const rank = sql`(case when ${term.expression} is null then 1 else 0 end)`;
  return [{ expression: rank, isAscending: true, type: 'integer' }, term];
}
