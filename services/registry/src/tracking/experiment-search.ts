import type { SQL } from 'drizzle-orm';
import { sql } from 'drizzle-orm';
import type { Comparison, FilterDialect } from '../mlflow/filter.ts';
import { parseFilter } from '../mlflow/filter.ts';
import { integerCondition, textCondition } from '../mlflow/filter-sql.ts';
import type { OrderTerm } from '../mlflow/keyset.ts';
import { parseOrderBy } from '../mlflow/order-by.ts';
import type { ExperimentTables } from './experiment.table.ts';

const dialect: FilterDialect = {
  attributes: { name: 'text', experiment_id: 'id', creation_time: 'number', last_update_time: 'number' },
  entities: ['tag'],
};
const DEFAULT_ORDER = ['creation_time DESC', 'experiment_id ASC'];

/** The conditions of a filter over experiments. Throws `invalid_filter`. */
export function experimentConditions(tables: ExperimentTables, filter: string | undefined): SQL[] {
  return parseFilter(filter, dialect).map((comparison) => condition(tables, comparison));
}

/** The terms of an order over experiments; ties are broken by id. Throws `invalid_filter`. */
export function experimentOrder(tables: ExperimentTables, orderBy: readonly string[]): OrderTerm[] {
  const orders = parseOrderBy(orderBy.length === 0 ? DEFAULT_ORDER : orderBy, {
    ...dialect,
    entities: [],
  });
  const terms = orders.map(({ field, isAscending }): OrderTerm => {
    const type = field.key === 'name' ? 'text' : 'bigint';
    return { expression: attribute(tables, field.key), isAscending, type };
  });
  if (orders.some(({ field }) => field.key === 'experiment_id')) return terms;
  return [...terms, { expression: attribute(tables, 'experiment_id'), isAscending: false, type: 'bigint' }];
}

function attribute({ experiments }: ExperimentTables, key: string): SQL {
  if (key === 'name') return sql`${experiments.name} collate "C"`;
  if (key === 'creation_time') return sql`${experiments.createdMs}`;
  if (key === 'last_update_time') return sql`${experiments.updatedMs}`;
  return sql`(case when ${experiments.isDefault} then 0 else ${experiments.id} end)`;
}

function condition(tables: ExperimentTables, comparison: Comparison): SQL {
  const { experiments, experimentTags: tags } = tables;
  const { field, operator } = comparison;
  if (field.entity === 'tag') {
    const isThere = sql`select 1 from ${tags} t where t.experiment_id = ${experiments.id} and t.key = ${field.key}`;
    if (operator === 'IS NULL') return sql`not exists (${isThere})`;
    if (operator === 'IS NOT NULL') return sql`exists (${isThere})`;
    return sql`exists (${isThere} and ${textCondition(sql`t.value`, comparison)})`;
  }
  if (field.key === 'experiment_id')
    return textCondition(sql`${attribute(tables, 'experiment_id')}::text`, comparison);
  if (field.key === 'name') return textCondition(sql`${experiments.name}`, comparison);
  return integerCondition(attribute(tables, field.key), comparison);
}
