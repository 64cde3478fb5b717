import type { EntityKey, FeatureRow } from '@millrace/contracts';
import type { Database, Executor } from '@millrace/database';
import { nowUs } from './event-time.ts';
import type { FeatureNews } from './feature-news.ts';
import type { FeatureValueRepository, Written } from './feature-value.repository.ts';
import type { FeatureValues } from './feature-values.ts';
import { toFeatureValues } from './feature-values.ts';
import type { FeatureViewRow } from './feature-view.table.ts';
import type { CreatedTimes, StoredRow } from './row-reader.ts';
import { createRowReader, readEntity } from './row-reader.ts';
import type { ValueCache } from './value-cache.ts';
import type { ViewCache } from './view-cache.ts';

export type FeatureStore = ReturnType<typeof createFeatureStore>;

/** Values of entities: writes that never put an older event over a newer one, and reads that never give one past its TTL. */
export function createFeatureStore(options: {
  database: Database;
  values: FeatureValueRepository;
  views: ViewCache;
  cache: ValueCache;
  news: Pick<FeatureNews, 'tellRows'>;
}) {
  const { database, values, views, cache, news } = options;

  /** Rows of a view as they are stored. @throws AppError `invalid_feature_row`, `unknown_field` */
  function read(view: FeatureViewRow, rows: readonly FeatureRow[], createdTimes?: CreatedTimes): StoredRow[] {
    const readRow = createRowReader(view, createdTimes);
    return rows.map((row, index) => readRow(row, `rows.${index}`));
  }

  /** What was written is committed: no process serves what was there before. */
  function announce(viewId: string, rows: readonly Pick<StoredRow, 'entity'>[]): void {
    const entities = [...new Set(rows.map(({ entity }) => entity))];
    cache.forget(viewId, entities);
    news.tellRows(viewId, entities);
  }

  return {
    read,
    announce,

    /** Writes rows in an open transaction; after its commit call `announce`. */
    writeIn: (tx: Executor, viewId: string, rows: readonly StoredRow[]): Promise<Written> =>
      values.write(tx, viewId, rows),

    /** @throws AppError `feature_view_not_found`, `invalid_feature_row`, `unknown_field`, `database_unavailable` */
    async write(
      tenant: string,
      viewName: string,
      given: readonly FeatureRow[],
      createdTimes?: CreatedTimes,
    ): Promise<Written & { rows: number }> {
      const view = await views.get(tenant, viewName);
      const rows = read(view, given, createdTimes);
      const written = await database.transaction((tx) => values.write(tx, view.id, rows));
      announce(view.id, rows);
      return { rows: rows.length, ...written };
    },

    /** The values of an entity if they need no reading. @throws AppError `invalid_feature_row` */
    peek(tenant: string, viewName: string, key: EntityKey): FeatureValues | undefined {
      const view = views.peek(tenant, viewName);
      if (view === undefined) return undefined;
      const entity = readEntity(key, view.keyType, 'entity');
      const held = cache.peek(view.id, entity);
      return held === undefined ? undefined : toFeatureValues(view, entity, held, nowUs());
    },

    /**
     * The values of entities now, in their order.
     * @throws AppError `feature_view_not_found`, `invalid_feature_row`, `queue_full`, `database_unavailable`
     */
    async get(tenant: string, viewName: string, keys: readonly EntityKey[]): Promise<FeatureValues[]> {
      const view = await views.get(tenant, viewName);
      const entities = keys.map((key, index) => readEntity(key, view.keyType, `entities.${index}`));
      const found = await cache.get(view.id, entities);
      const atUs = nowUs();
      return entities.map((entity) => toFeatureValues(view, entity, found.get(entity) ?? null, atUs));
    },

    /** Removes an entity with all its history; false when there was none. @throws AppError `feature_view_not_found` */
    async forget(tenant: string, viewName: string, key: EntityKey): Promise<boolean> {
      const view = await views.get(tenant, viewName);
      const entity = readEntity(key, view.keyType, 'entity');
      const isRemoved = await database.transaction((tx) => values.forget(tx, view.id, entity));
      announce(view.id, [{ entity }]);
      return isRemoved;
    },
  };
}
