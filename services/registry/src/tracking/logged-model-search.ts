import type { SQL } from 'drizzle-orm';
import { sql } from 'drizzle-orm';
import type { Comparison, FilterDialect } from '../mlflow/filter.ts';
import { parseFilter } from '../mlflow/filter.ts';
import { integerCondition, numberCondition, textCondition } from '../mlflow/filter-sql.ts';
import type { OrderTerm } from '../mlflow/keyset.ts';
import type { LoggedModelTables } from './logged-model.table.ts';
import { invalidValue } from './names.ts';

const dialect: FilterDialect = {
  attributes: {
    model_id: 'text',
    name: 'text',
    status: 'text',
    model_type: 'text',
    source_run_id: 'text',
    creation_timestamp_ms: 'number',
    last_updated_timestamp_ms: 'number',
  },
  lists: ['model_id', 'name', 'status', 'model_type', 'source_run_id'],
  spellings: {
    creation_time: 'creation_timestamp_ms',
    creation_timestamp: 'creation_timestamp_ms',
    last_updated_timestamp: 'last_updated_timestamp_ms',
  },
  entities: ['metric', 'param', 'tag'],
};

/** Metrics on this dataset only, of any digest unless one is given. */
export type DatasetFilter = { readonly name: string; readonly digest: string | undefined };
export type ModelOrder = {
  readonly field: string;
  readonly isAscending: boolean;
  readonly dataset?: DatasetFilter;
};

/** The conditions of a filter over logged models; `datasets` restricts what metrics are looked at. */
export function modelConditions(
  tables: LoggedModelTables,
  filter: string | undefined,
  datasets: readonly DatasetFilter[],
): SQL[] {
  const comparisons = parseFilter(filter, dialect);
  const onDatasets =
    datasets.length === 0 ? sql`true` : sql`(${sql.join(datasets.map(onDataset), sql` or `)})`;
  const { loggedModels, loggedModelMetrics } = tables;
  const conditions = comparisons.map((comparison) => condition(tables, comparison, onDatasets));
  if (datasets.length === 0 || comparisons.some(({ field }) => field.entity === 'metric')) return conditions;
  return [
    ...conditions,
    sql`exists (select 1 from ${loggedModelMetrics} x where x.model_id = ${loggedModels.id} and ${onDatasets})`,
  ];
}

const onDataset = ({ name, digest }: DatasetFilter): SQL =>
  digest === undefined
    ? sql`x.dataset_name = ${name}`
    : sql`(x.dataset_name = ${name} and x.dataset_digest = ${digest})`;

function attribute({ loggedModels }: LoggedModelTables, key: string): SQL {
  const columns: Readonly<Record<string, SQL>> = {
    model_id: sql`${loggedModels.id}`,
    name: sql`${loggedModels.name}`,
    status: sql`${loggedModels.status}`,
    model_type: sql`${loggedModels.modelType}`,
    source_run_id: sql`replace(${loggedModels.sourceRunId}::text, '-', '')`,
    creation_timestamp_ms: sql`${loggedModels.createdMs}`,
    last_updated_timestamp_ms: sql`${loggedModels.updatedMs}`,
  };
  return columns[key] as SQL;
}

function condition(tables: LoggedModelTables, comparison: Comparison, onDatasets: SQL): SQL {
  const { entity, key } = comparison.field;
  if (entity === 'attribute') {
    const column = attribute(tables, key);
    return dialect.attributes[key] === 'number'
      ? integerCondition(column, comparison)
      : textCondition(column, comparison);
  }
  const { operator } = comparison;
  const table =
    entity === 'metric'
      ? tables.loggedModelMetrics
      : entity === 'param'
        ? tables.loggedModelParams
        : tables.loggedModelTags;
  const isThere = sql`select 1 from ${table} x where x.model_id = ${tables.loggedModels.id} and x.key = ${key}`;
  if (operator === 'IS NULL') return sql`not exists (${isThere})`;
  if (operator === 'IS NOT NULL') return sql`exists (${isThere})`;
  if (entity === 'metric')
    return sql`exists (${isThere} and ${onDatasets} and ${numberCondition(sql`x.value`, comparison)})`;
  return sql`exists (${isThere} and ${textCondition(sql`x.value`, comparison)})`;
}

/** The order of logged models: what is absent last, then the newest, then the id. Throws `invalid_request`. */
export function modelOrder(
  tables: LoggedModelTables,
  orders: readonly ModelOrder[],
): { terms: OrderTerm[]; joins: SQL[] } {
  const { loggedModels, loggedModelMetrics } = tables;
  const joins: SQL[] = [];
  const terms = orders.flatMap(({ field, isAscending, dataset }, index): OrderTerm[] => {
    const isMetric = field.startsWith('metrics.');
    if (!isMetric) return attributeTerms(tables, field, isAscending);
    const alias = sql.raw(`o${index}`);
    const key = field.slice('metrics.'.length).replaceAll('`', '');
    const only = dataset === undefined ? sql`true` : onDataset(dataset);
    joins.push(sql`left join lateral (
      select x.value from ${loggedModelMetrics} x
      where x.model_id = ${loggedModels.id} and x.key = ${key} and ${only}
      order by x.timestamp_ms desc, x.step desc, x.run_id limit 1
    ) ${alias} on true`);
    return withPresence({ expression: sql`${alias}.value`, isAscending, type: 'double precision' });
  });
  const names = orders.map(({ field }) => dialect.spellings?.[field] ?? field);
  if (!names.includes('creation_timestamp_ms'))
    terms.push({ expression: sql`${loggedModels.createdMs}`, isAscending: false, type: 'bigint' });
  terms.push({ expression: sql`${loggedModels.id} collate "C"`, isAscending: true, type: 'text' });
  return { terms, joins };
}

function attributeTerms(tables: LoggedModelTables, field: string, isAscending: boolean): OrderTerm[] {
  const key = dialect.spellings?.[field] ?? field;
  if (!Object.hasOwn(dialect.attributes, key))
    throw invalidValue(
      'order_by',
      field,
      `there are ${Object.keys(dialect.attributes).join(', ')} and metrics.`,
    );
  if (dialect.attributes[key] === 'number')
    return [{ expression: attribute(tables, key), isAscending, type: 'bigint' }];
  return withPresence({ expression: sql`${attribute(tables, key)} collate "C"`, isAscending, type: 'text' });
}

function withPresence(term: OrderTerm): OrderTerm[] {
  const rank = sql`(case when ${term.expression} is null then 1 else 0 end)`;
  return [{ expression: rank, isAscending: true, type: 'integer' }, term];
}
