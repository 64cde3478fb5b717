import type { FeatureSpec } from '@millrace/contracts';
import { isFresh } from '../event-time.ts';
import type { AsOf, FeatureValueRepository } from '../feature-value.repository.ts';
import type { FeatureViewRow } from '../feature-view.table.ts';
import { readEntity } from '../row-reader.ts';
import type { SpineRow } from './spine.ts';

/** A view with the features that are wanted of it. */
export type JoinedView = {
  readonly view: Pick<FeatureViewRow, 'id' | 'name' | 'entity' | 'keyType' | 'ttlSeconds'>;
  readonly features: readonly FeatureSpec[];
};

/**
 * `created`: a row sees what had happened and was known at its time; corrections that came later do not count.
 * `event`: it sees what had happened, with all corrections.
 */
export type Known = 'created' | 'event';

/**
 * Values for each row, those of all views one after the other, null where none counts: at the time of the row, the
 * newest event that was not past the TTL of its view. The rule is that of online reads.
 * @throws AppError `invalid_feature_row` for a key that does not fit
 */
export async function joinAsOf(
  values: Pick<FeatureValueRepository, 'asOf'>,
  joined: readonly JoinedView[],
  rows: readonly SpineRow[],
  known: Known,
): Promise<unknown[][]> {
  const cells: unknown[][] = rows.map(() => []);
  for (const { view, features } of joined) {
    const questions = rows.flatMap(({ at, atUs, keys }, n): AsOf[] => {
      const key = keys[view.entity];
      // a row about nobody has no values
      if (key === undefined || key === '') return [];
      return [{ n, entity: readEntity(key, view.keyType, `${at}: ${view.entity}`), atUs }];
    });
    const found = new Map(
      (await values.asOf(view.id, questions, known === 'created')).map((row) => [row.n, row]),
    );
    for (const [n, { atUs }] of rows.entries()) {
      const row = found.get(n);
      const isCounted = row !== undefined && isFresh(row.eventUs, atUs, view.ttlSeconds);
      for (const { name } of features)
        cells[n]?.push(isCounted && Object.hasOwn(row.values, name) ? row.values[name] : null);
    }
  }
  return cells;
}
