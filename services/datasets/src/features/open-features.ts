import type { Bus, BusTables, Outbox } from '@millrace/bus';
import type { Logger } from '@millrace/service-kit';
import { startFeatureConsumer } from './feature.consumer.ts';
import { serveFeatures } from './feature.rpc.ts';
import { openFeatureNews } from './feature-news.ts';
import { createFeatureStore } from './feature-store.ts';
import { createFeatureValueRepository } from './feature-value.repository.ts';
import { createFeatureViewRepository } from './feature-view.repository.ts';
import { createFeatureViewService } from './feature-view.service.ts';
import type { FeatureTables } from './feature-view.table.ts';
import { createRowLoader } from './row-loader.ts';
import type { TrainingSetOptions } from './training-set/training-set.service.ts';
import { createTrainingSetService } from './training-set/training-set.service.ts';
import { createValueCache } from './value-cache.ts';
import { createViewCache } from './view-cache.ts';
import { startViewSweeper } from './view-sweeper.ts';

export type FeaturesOptions = Omit<TrainingSetOptions, 'featureValues' | 'viewCache'> & {
  bus: Bus;
  outbox: Outbox;
  busTables: BusTables;
  tables: FeatureTables;
  logger: Logger;
  /** How long a definition or row may be served after another process changed it without our hearing of it (ms). */
  cacheAgeMs: number;
  cacheBytesMax: number;
};

/** The feature store of this process: definitions, values, what it takes from the bus, and news between processes. */
export function openFeatures(options: FeaturesOptions) {
  const { bus, database, outbox, tables, logger, cacheAgeMs } = options;
  const featureViews = createFeatureViewRepository(tables);
  const values = createFeatureValueRepository(database.pool);
  const views = createViewCache(cacheAgeMs, (tenant, name) => featureViews.find(database.db, tenant, name));
  const cache = createValueCache({
    ageMs: cacheAgeMs,
    bytesMax: options.cacheBytesMax,
    read: createRowLoader(values.newest),
  });
  const news = openFeatureNews(bus, { rows: cache.forget, views: views.clear });
  const featureStore = createFeatureStore({ database, values, views, cache, news });
  const featureViewService = createFeatureViewService({
    database,
    views: featureViews,
    outbox,
    onChange() {
      views.clear();
      news.tellViews();
    },
  });
  const consumer = startFeatureConsumer({
    bus,
    database,
    tables: options.busTables,
    store: featureStore,
    findView: featureViews.findById,
  });
  const trainingSets = createTrainingSetService({ ...options, featureValues: values, viewCache: views });
  const rpc = serveFeatures({ bus, store: featureStore, views });
  const sweeper = startViewSweeper(database, logger);
  return {
    featureViews,
    featureViewService,
    featureStore,
    trainingSets,
    async stop() {
      await Promise.all([consumer.stop(), rpc.stop(), news.stop(), sweeper.stop()]);
    },
  };
}
