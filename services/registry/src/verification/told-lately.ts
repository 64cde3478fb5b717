/** What was told of late, so that a thing that happens with every request is told once in a while. */
export type ToldLately = {
  /** True when this was not told lately; from then on it was. */
  isNew(what: string): boolean;
  /** It was not told after all. */
  forget(what: string): void;
};

/** The same counts as new again after `everyMs`; of more than `rememberedMax` the one told longest ago is forgotten. */
export function createToldLately(options: {
  everyMs: number;
  rememberedMax: number;
  nowMs?: () => number;
}): ToldLately {
  const { everyMs, rememberedMax, nowMs = Date.now } = options;
  const told = new Map<string, number>();
  return {
    isNew(what) {
      const now = nowMs();
      if (now - (told.get(what) ?? Number.NEGATIVE_INFINITY) < everyMs) return false;
      told.delete(what);
      told.set(what, now);
      if (told.size > rememberedMax) told.delete(told.keys().next().value as string);
      return true;
    },
    forget: (what) => void told.delete(what),
  };
}
