import type { Bus } from '@millrace/bus';
import { callRpc } from '@millrace/bus';
import type { EntityKey, ReadFeatures } from '@millrace/contracts';
import { readFeaturesMethod } from '@millrace/contracts';

/** A prediction waits so long for its features (ms). */
const TIMEOUT_MS = 1_000;
/** Values that were read are used again for so long, and never past their TTL (ms). */
const AGE_MS_MAX = 1_000;
/** Entities whose values are held, one entry for each view. */
const ENTRIES_MAX = 10_000;

export type EntityKeys = Readonly<Record<string, EntityKey>>;
/** Values of views for entities, in the order of the views. Throws what the feature store throws. */
export type FeatureReader = (
  tenant: string,
  entities: EntityKeys,
  views: readonly string[],
) => Promise<ReadFeatures[]>;

type Entry = { readonly read: ReadFeatures; readonly readAt: number };

/** Whether values that counted when they were read still do. */
function isGood({ read, readAt }: Entry, now: number): boolean {
  if (now - readAt >= AGE_MS_MAX) return false;
  const { ttlSeconds, eventTime, reason } = read;
  if (reason !== null || ttlSeconds === null || eventTime === null) return true;
  return now - Date.parse(eventTime) < ttlSeconds * 1_000;
}

/** Asks the feature store of the datasets service, and remembers its answers for a second. */
export function createFeatureReader(bus: Bus, now: () => number = Date.now): FeatureReader {
  const entries = new Map<string, Entry>();

  return async (tenant, entities, views) => {
    const about = JSON.stringify(Object.entries(entities).sort(([a], [b]) => (a < b ? -1 : 1)));
    // names of views hold no slash
    const keyOf = (view: string): string => `${view}/${tenant}/${about}`;
    const found = new Map<string, ReadFeatures>();
    for (const view of views) {
      const entry = entries.get(keyOf(view));
      if (entry !== undefined && isGood(entry, now())) found.set(view, entry.read);
    }
    const missing = views.filter((view) => !found.has(view));
    if (missing.length > 0) {
      const readAt = now();
      const request = { tenant, entities: { ...entities }, views: missing };
      const reply = await callRpc(bus, 'datasets', 'features', readFeaturesMethod, request, {
        timeoutMs: TIMEOUT_MS,
      });
      for (const read of reply.views) {
        found.set(read.view, read);
        entries.delete(keyOf(read.view));
        entries.set(keyOf(read.view), { read, readAt });
        if (entries.size > ENTRIES_MAX) entries.delete(entries.keys().next().value as string);
      }
    }
    return views.flatMap((view) => found.get(view) ?? []);
  };
}
