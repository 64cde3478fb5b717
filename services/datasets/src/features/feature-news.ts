import type { Bus } from '@millrace/bus';
import { endSubscription } from '@millrace/bus';
import { newId, Uuid } from '@millrace/contracts';
import Type from 'typebox';
import { Compile } from 'typebox/compile';

/** Hints without a promise: whoever misses one serves what it holds for as long as its cache allows. */
const SUBJECT = 'millrace.ctl.features.changed';
/** Entities in one message, which then stays under NATS' megabyte. */
const ENTITIES_MAX = 500;

const News = Compile(
  Type.Object({
    from: Uuid,
    viewId: Type.Optional(Uuid),
    entities: Type.Optional(Type.Array(Type.String())),
  }),
);

export type FeatureNews = {
  /** Rows of these entities were written here. */
  tellRows(viewId: string, entities: readonly string[]): void;
  /** The definition of some view was changed here. */
  tellViews(): void;
  stop(): Promise<void>;
};

/** Tells the other processes of the service what was changed here, and hears what was changed there. */
export function openFeatureNews(
  bus: Bus,
  heard: { rows(viewId: string, entities: readonly string[]): void; views(): void },
): FeatureNews {
  const from = newId();
  const subscription = bus.nc.subscribe(SUBJECT);

  function take(payload: unknown): void {
    if (!News.Check(payload) || payload.from === from) return;
    if (payload.viewId !== undefined && payload.entities !== undefined)
      heard.rows(payload.viewId, payload.entities);
    else heard.views();
  }

  const loop = (async () => {
    for await (const message of subscription) {
      try {
        take(message.json());
      } catch {
        // what is not JSON is not ours
      }
    }
  })();

  function tell(news: object): void {
    try {
      bus.nc.publish(SUBJECT, JSON.stringify({ from, ...news }));
    } catch (error) {
      bus.logger.warn({ error: String(error) }, 'other processes were not told of a change of features');
    }
  }

  return {
    tellRows(viewId, entities) {
      for (let at = 0; at < entities.length; at += ENTITIES_MAX)
        tell({ viewId, entities: entities.slice(at, at + ENTITIES_MAX) });
    },
    tellViews: () => tell({}),
    async stop() {
      await endSubscription(bus, subscription);
      await loop;
    },
  };
}
