import type { ResolvedVersion, ResolveVersionRequest } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';

/** A resolution is asked for again after this, in case an event was missed (ms). */
const FRESH_MS = 5_000;
/** While the registry is away, an older answer is used for this long (ms). */
const STALE_MS = 60 * 60_000;
/** Names that are remembered; far more than are served at once. */
const ENTRIES_MAX = 10_000;

type Entry = { value: ResolvedVersion; at: number };

/** Which version a request means; remembers the registry's answers until an event says otherwise. */
export type VersionResolver = {
  /** The remembered answer, if it is fresh: no waiting on the hot path. */
  peek(model: string, version: string | undefined): ResolvedVersion | undefined;
  /** Throws `model_not_found`, `version_not_found` or `dependency_unavailable`. */
  resolve(model: string, version: string | undefined): Promise<ResolvedVersion>;
  byId(modelVersionId: string): Promise<ResolvedVersion>;
  /** An event changed something about this model: nothing remembered about it counts any more. */
  invalidate(model: string): void;
};

/** `ask` is the registry's `resolve`. */
export function createVersionResolver(
  ask: (request: ResolveVersionRequest) => Promise<ResolvedVersion>,
): VersionResolver {
  const entries = new Map<string, Entry>();
  const asking = new Map<string, Promise<ResolvedVersion>>();
  let epoch = 0;
  const keyOf = (model: string, version: string | undefined): string => `${model}\n${version ?? ''}`;

  function remember(key: string, value: ResolvedVersion): void {
    entries.delete(key);
    entries.set(key, { value, at: Date.now() });
    if (entries.size > ENTRIES_MAX) entries.delete(entries.keys().next().value as string);
  }

  async function refresh(key: string, request: ResolveVersionRequest): Promise<ResolvedVersion> {
    const startedIn = epoch;
    try {
      const value = await ask(request);
      // an event that came meanwhile may be newer than this answer
      if (epoch === startedIn) remember(key, value);
      return value;
    } catch (error) {
      const held = entries.get(key);
      const isAway = error instanceof AppError && error.retryable;
      if (isAway && held !== undefined && Date.now() - held.at < STALE_MS) return held.value;
      entries.delete(key);
      throw error;
    } finally {
      asking.delete(key);
    }
  }

  function freshEntry(key: string): ResolvedVersion | undefined {
    const held = entries.get(key);
    return held !== undefined && Date.now() - held.at < FRESH_MS ? held.value : undefined;
  }

  return {
    peek: (model, version) => freshEntry(keyOf(model, version)),
    async resolve(model, version) {
      const key = keyOf(model, version);
      const held = freshEntry(key);
      if (held !== undefined) return held;
      const request = version === undefined ? { model } : { model, version };
      const running = asking.get(key) ?? refresh(key, request);
      asking.set(key, running);
      return running;
    },
    byId: (modelVersionId) => ask({ modelVersionId }),
    invalidate(model) {
      epoch += 1;
      for (const key of entries.keys()) if (key.startsWith(`${model}\n`)) entries.delete(key);
    },
  };
}
