import type { SQL, SQLWrapper } from 'drizzle-orm';
import { sql } from 'drizzle-orm';
import type { Comparison, Operator } from './filter.ts';

const SIGNS: Readonly<Record<Exclude<Operator, 'IN' | 'NOT IN' | 'IS NULL' | 'IS NOT NULL'>, SQL>> = {
  '=': sql`=`,
  '!=': sql`<>`,
  '>': sql`>`,
  '>=': sql`>=`,
  '<': sql`<`,
  '<=': sql`<=`,
  LIKE: sql`like`,
  ILIKE: sql`ilike`,
};

/** The condition of a comparison on a column of texts; values are parameters. */
export function textCondition(column: SQLWrapper, { operator, value }: Comparison): SQL {
  switch (operator) {
    case 'IS NULL':
      return sql`${column} is null`;
    case 'IS NOT NULL':
      return sql`${column} is not null`;
    case 'IN':
      return sql`${column} = any(${sql.param(value)}::text[])`;
    case 'NOT IN':
      return sql`${column} <> all(${sql.param(value)}::text[])`;
    default:
      return sql`${column} ${SIGNS[operator]} ${value}`;
  }
}

/**
 * The condition of a comparison on a column of doubles. As in IEEE 754 a stored NaN fits only `!=`, except that
 * `= NaN` finds it; Postgres alone would put NaN above every number.
 */
export function numberCondition(column: SQLWrapper, { operator, value }: Comparison): SQL {
  const sign = SIGNS[operator as keyof typeof SIGNS];
  const number = sql`${String(value)}::double precision`;
  if (operator === '!=' || operator === '<' || operator === '<=' || Number.isNaN(value))
    return sql`${column} ${sign} ${number}`;
  return sql`(${column} ${sign} ${number} and ${column} <> 'NaN'::double precision)`;
}

/** The condition of a comparison on a column of 64-bit integers, which an index on it can answer. */
export function integerCondition(column: SQLWrapper, { operator, value }: Comparison): SQL {
  const sign = SIGNS[operator as keyof typeof SIGNS];
  const number = sql`${String(value)}::${sql.raw(Number.isSafeInteger(value) ? 'bigint' : 'double precision')}`;
  return sql`${column} ${sign} ${number}`;
}
