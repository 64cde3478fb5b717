import type { Bus } from '@millrace/bus';
import { serveRpc } from '@millrace/bus';
import { AppError, readFeaturesMethod } from '@millrace/contracts';
import type { FeatureStore } from './feature-store.ts';
import type { ViewCache } from './view-cache.ts';

/** `millrace.rpc.datasets.features`: for whoever predicts for an entity. */
export function serveFeatures({ bus, store, views }: { bus: Bus; store: FeatureStore; views: ViewCache }) {
  return serveRpc(
    bus,
    'datasets',
    'features',
    readFeaturesMethod,
    async ({ tenant, entities, views: names }) => ({
      views: await Promise.all(
        names.map(async (name) => {
          const { entity, features, ttlSeconds } = await views.get(tenant, name);
          const key = Object.hasOwn(entities, entity) ? entities[entity] : undefined;
          if (key === undefined)
            throw new AppError(
              'invalid_request',
              `No key is given for ${entity}, which the view ${name} is about.`,
            );
          const [read] = await store.get(tenant, name, [key]);
          if (read === undefined) throw new Error('a read of one entity gave nothing');
          const { view, eventTime, reason, values } = read;
          const sizes = features.flatMap(({ name: feature, size }) =>
            size === undefined ? [] : [[feature, size]],
          );
          return {
            view,
            entity: read.entity,
            eventTime,
            reason,
            ttlSeconds,
            values,
            sizes: Object.fromEntries(sizes),
          };
        }),
      ),
    }),
  );
}
