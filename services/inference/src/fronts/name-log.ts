import type { Target } from './calls.ts';

/** Models whose last loads and unloads by name are kept. */
const MODELS_MAX = 10_000;

type Entry = { isLoad: boolean; target: Target };

/** What was loaded and unloaded by name, as far as it still matters: a fresh process repeats it. */
export type NameLog = {
  load(target: Target): void;
  unload(target: Target): void;
  list(): Entry[];
};

export function createNameLog(): NameLog {
  const byModel = new Map<string, Entry[]>();

  function put(entry: Entry): void {
    const { name = '', version } = entry.target;
    // one about the whole model makes what was said of its versions void
    const others = version === undefined ? [] : (byModel.get(name) ?? []);
    byModel.set(name, [...others.filter(({ target }) => target.version !== version), entry]);
    if (byModel.size > MODELS_MAX) byModel.delete(byModel.keys().next().value as string);
  }

  return {
    load(target) {
      // a whole model that is served again is as it was before anybody unloaded it
      if (target.version === undefined) byModel.delete(target.name ?? '');
      else put({ isLoad: true, target });
    },
    unload: (target) => put({ isLoad: false, target }),
    list: () => [...byModel.values()].flat(),
  };
}
