import { viewNotFound } from './feature-view.service.ts';
import type { FeatureViewRow } from './feature-view.table.ts';

/** Definitions held; more than tenants use at once. */
const VIEWS_MAX = 10_000;

type Entry = { readonly view: FeatureViewRow; readonly readAt: number };
/** Reads a definition from the database. */
type Find = (tenant: string, name: string) => Promise<FeatureViewRow | undefined>;

export type ViewCache = ReturnType<typeof createViewCache>;

/** Definitions of views for at most `ageMs`; a view that is not there is looked for each time. */
export function createViewCache(ageMs: number, find: Find, now = () => performance.now()) {
  const entries = new Map<string, Entry>();
  let changes = 0;

  function young(key: string): FeatureViewRow | undefined {
    const entry = entries.get(key);
    return entry !== undefined && now() - entry.readAt < ageMs ? entry.view : undefined;
  }

  async function read(tenant: string, name: string, key: string): Promise<FeatureViewRow> {
    const [readAt, before] = [now(), changes];
    const view = await find(tenant, name);
    if (view === undefined) throw viewNotFound(name);
    if (before !== changes) return view;
    entries.delete(key);
    entries.set(key, { view, readAt });
    if (entries.size > VIEWS_MAX) entries.delete(entries.keys().next().value as string);
    return view;
  }

  return {
    /** The definition if it is here. */
    peek: (tenant: string, name: string): FeatureViewRow | undefined => young(`${name}/${tenant}`),

    /** @throws AppError `feature_view_not_found` */
    async get(tenant: string, name: string): Promise<FeatureViewRow> {
      // names of views hold no slash
      const key = `${name}/${tenant}`;
      return young(key) ?? (await read(tenant, name, key));
    },

    /** Some view was changed. */
    clear(): void {
      changes += 1;
      entries.clear();
    },
  };
}
