import type { SQL } from 'drizzle-orm';
import { sql } from 'drizzle-orm';
import Type from 'typebox';

/**
 * One part of an order. A part that may be null stands behind one that ranks presence, so that nulls never decide
 * between rows that have values.
 */
export type OrderTerm = {
  readonly expression: SQL;
  readonly isAscending: boolean;
  /** An index that ascends is read backwards only for an order that says NULLS FIRST, even where there are none. */
  readonly isFromAscendingIndex?: true;
  readonly type: 'bigint' | 'double precision' | 'integer' | 'text' | 'uuid';
};

/** The values of a row's order terms as text: what a page token holds. */
export const RowKey = Type.Array(Type.Union([Type.String(), Type.Null()]), { minItems: 1, maxItems: 40 });

/** The order; it says NULLS LAST because descending indexes do. */
export function orderSql(terms: readonly OrderTerm[]): SQL {
  const parts = terms.map(({ expression, isAscending, isFromAscendingIndex }) => {
    if (isAscending) return sql`${expression} asc`;
    return isFromAscendingIndex ? sql`${expression} desc` : sql`${expression} desc nulls last`;
  });
  return sql.join(parts, sql`, `);
}

/** The row's key, read back by `afterSql`. */
export function rowKeySql(terms: readonly OrderTerm[]): SQL<(string | null)[]> {
  return sql`array[${textsOf(terms)}]`;
}

/** The same as JSON, for large pages: only the key of the last row is read, and an array costs more to take in. */
export function rowKeyJsonSql(terms: readonly OrderTerm[]): SQL<string> {
  return sql`json_build_array(${textsOf(terms)})::text`;
}

const textsOf = (terms: readonly OrderTerm[]): SQL =>
  sql.join(
    terms.map(({ expression }) => sql`(${expression})::text`),
    sql`, `,
  );

/** The condition that a row comes after the one with this key; the number of terms is that of the key. */
export function afterSql(terms: readonly OrderTerm[], key: readonly (string | null)[]): SQL {
  const [first] = terms;
  const bound = key[0] ?? null;
  const after = chain(terms, key);
  if (first === undefined || bound === null) return after;
  // implied by the rest, and the one condition that an index range can begin with
  return sql`(${first.expression} ${first.isAscending ? sql`>=` : sql`<=`} ${valueSql(first, bound)} and ${after})`;
}

function chain(terms: readonly OrderTerm[], key: readonly (string | null)[]): SQL {
  const [term, ...others] = terms;
  if (term === undefined) return sql`false`;
  const rest = chain(others, key.slice(1));
  const value = key[0] ?? null;
  if (value === null) return sql`(${term.expression} is null and ${rest})`;
  const sign = term.isAscending ? sql`>` : sql`<`;
  const at = valueSql(term, value);
  return sql`(${term.expression} ${sign} ${at} or (${term.expression} = ${at} and ${rest}))`;
}

function valueSql({ type }: OrderTerm, value: string): SQL {
  return sql`${value}::${sql.raw(type)}${type === 'text' ? sql` collate "C"` : sql``}`;
}
