import type { SQL } from 'drizzle-orm';
import { sql } from 'drizzle-orm';
import type { Comparison, FilterDialect } from '../mlflow/filter.ts';
import { parseFilter } from '../mlflow/filter.ts';
import { integerCondition, textCondition } from '../mlflow/filter-sql.ts';
import type { OrderTerm } from '../mlflow/keyset.ts';
import { parseOrderBy } from '../mlflow/order-by.ts';

/** MLflow's clients ask for models without this tag by `!=`, which must also find those that have no such tag. */
const PROMPT_TAG = 'mlflow.prompt.is_prompt';
/** How orders name the times. */
const TIMES = {
  timestamp: 'last_updated_timestamp',
  last_updated: 'last_updated_timestamp',
  creation_time: 'creation_timestamp',
};

const models: FilterDialect = {
  attributes: { name: 'text', creation_timestamp: 'number', last_updated_timestamp: 'number' },
  spellings: TIMES,
  entities: ['tag'],
};
const versions: FilterDialect = {
  attributes: {
    name: 'text',
    version_number: 'number',
    run_id: 'text',
    source_path: 'text',
    creation_timestamp: 'number',
    last_updated_timestamp: 'number',
  },
  lists: ['name', 'run_id'],
  spellings: { ...TIMES, version: 'version_number', source: 'source_path' },
  entities: ['tag'],
};
const DEFAULT_OF_VERSIONS = ['last_updated_timestamp DESC', 'name ASC', 'version_number DESC'];

function tagCondition(tags: SQL, comparison: Comparison): SQL {
  const { field, operator, value } = comparison;
  const tag = sql`(${tags} ->> ${field.key})`;
  if (field.key === PROMPT_TAG && operator === '!=') return sql`${tag} is distinct from ${value}`;
  return textCondition(tag, comparison);
}

const conditionsOf = (
  filter: string | undefined,
  dialect: FilterDialect,
  columnOf: (key: string) => SQL,
  tags: SQL,
): SQL[] =>
  parseFilter(filter, dialect).map((comparison) => {
    const { field } = comparison;
    if (field.entity === 'tag') return tagCondition(tags, comparison);
    const column = columnOf(field.key);
    return dialect.attributes[field.key] === 'number'
      ? integerCondition(column, comparison)
      : textCondition(column, comparison);
  });

const termsOf = (
  orderBy: readonly string[],
  dialect: FilterDialect,
  columnOf: (key: string) => SQL,
): OrderTerm[] =>
  parseOrderBy(orderBy, { ...dialect, entities: [] }).map(({ field, isAscending }) =>
    dialect.attributes[field.key] === 'number'
      ? { expression: columnOf(field.key), isAscending, type: 'bigint' }
      : { expression: sql`${columnOf(field.key)} collate "C"`, isAscending, type: 'text' },
  );

/** Columns of the relation of models: `m`. */
function modelColumn(key: string): SQL {
  if (key === 'name') return sql`m.name`;
  const time = key === 'creation_timestamp' ? sql`m.created_at` : sql`m.updated_at`;
  return sql`floor(extract(epoch from ${time}) * 1000)::bigint`;
}

/** Columns of the relation of versions: `v`, with times in ms. */
function versionColumn(key: string): SQL {
  const columns: Readonly<Record<string, SQL>> = {
    name: sql`v.name`,
    version_number: sql`v.ordinal::bigint`,
    run_id: sql`v.run_id`,
    source_path: sql`v.source`,
    creation_timestamp: sql`v.created_ms`,
    last_updated_timestamp: sql`v.updated_ms`,
  };
  return columns[key] as SQL;
}

/** The conditions of a filter over models. Throws `invalid_filter`. */
export const modelConditions = (filter: string | undefined): SQL[] =>
  conditionsOf(filter, models, modelColumn, sql`m.tags`);

/** The terms of an order over models; ties are broken by name. Throws `invalid_filter`. */
export function modelOrder(orderBy: readonly string[]): OrderTerm[] {
  const terms = termsOf(orderBy, models, modelColumn);
  if (orderBy.some((clause) => /^\s*(attributes?\.)?[`"]?name\b/i.test(clause))) return terms;
  return [...terms, { expression: sql`m.name collate "C"`, isAscending: true, type: 'text' }];
}

/** The conditions of a filter over versions. Throws `invalid_filter`. */
export const versionConditions = (filter: string | undefined): SQL[] =>
  conditionsOf(filter, versions, versionColumn, sql`v.tags`);

/** The terms of an order over versions; ties are broken by id. Throws `invalid_filter`. */
export function versionOrder(orderBy: readonly string[]): OrderTerm[] {
  return [
    ...termsOf(orderBy.length === 0 ? DEFAULT_OF_VERSIONS : orderBy, versions, versionColumn),
    { expression: sql`v.id`, isAscending: true, type: 'uuid' },
  ];
}
