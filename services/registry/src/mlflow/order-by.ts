import type { Field, FilterDialect } from './filter.ts';
import { parseField, TokenReader } from './filter.ts';

/** Fields that one search may order by. */
export const ORDER_FIELDS_MAX = 10;

export type Order = { readonly field: Field; readonly isAscending: boolean };

/**
 * Parses order_by clauses such as `metrics.loss ASC`; ascending unless DESC is said.
 * @throws AppError `invalid_filter`
 */
export function parseOrderBy(clauses: readonly string[], dialect: FilterDialect): Order[] {
  const seen = new Set<string>();
  return clauses.map((clause) => {
    const reader = new TokenReader(clause);
    const field = parseField(reader, dialect);
    const isDescending = reader.takeIf('DESC');
    if (!isDescending) reader.takeIf('ASC');
    if (reader.peek() !== undefined) reader.fail('an order is a field, then ASC or DESC.');
    if (field.entity === 'dataset') reader.fail('nothing can be ordered by datasets.');
    const name = `${field.entity}.${field.key}`;
    if (seen.has(name)) reader.fail(`order_by names ${name} twice.`);
    seen.add(name);
    if (seen.size > ORDER_FIELDS_MAX) reader.fail(`order_by has at most ${ORDER_FIELDS_MAX} fields.`);
    return { field, isAscending: !isDescending };
  });
}
