import type { ResolvedVersion, ResolveVersionRequest } from '@millrace/contracts';
import { AppError, isValidName } from '@millrace/contracts';
import { ownerOf } from './served-name.ts';

/** A resolution is asked for again after this, in case an event was missed (ms). */
const FRESH_MS = 5_000;
/** While the registry is away, an older answer is used for this long (ms). */
const STALE_MS = 60 * 60_000;
/** Names that are remembered, 10 kB each with manifest and signature; far more than are in memory at once. */
const ENTRIES_MAX = 2_000;

/** What the registry said, and when (ms since 1970). */
export type Remembered = { value: ResolvedVersion; at: number };
/** Asks for what is remembered of a name; null when it is nothing. */
export type VersionRecall = (model: string, version: string | undefined) => Promise<Remembered | null>;
/** `isAway` when the registry did not answer the last time it was asked. */
type Entry = Remembered & { isAway: boolean };

function assertNames(name: string, version: string | undefined): void {
  if (isValidName(ownerOf(name).model) && (version === undefined || isValidName(version))) return;
  throw new AppError(
    'invalid_name',
    'A model and a version have 1 to 255 characters without slash, backslash, colon or control characters.',
  );
}

/**
 * Which version a request means, by the served name of its model; remembers the registry's answers until an event says
 * otherwise.
 */
export type VersionResolver = {
  /** The remembered answer, if it is fresh: no waiting on the hot path. */
  peek(model: string, version: string | undefined): ResolvedVersion | undefined;
  /** Throws `invalid_name`, `model_not_found`, `version_not_found` or `dependency_unavailable`. */
  resolve(model: string, version: string | undefined): Promise<ResolvedVersion>;
  byId(modelVersionId: string): Promise<ResolvedVersion>;
  /** What this process remembers, fresh or not; null when it is nothing. */
  remembered(model: string, version: string | undefined): Remembered | null;
  /** An event changed something about models of this name: nothing remembered about them counts any more. */
  invalidate(model: string): void;
};

/**
 * `ask` is the registry's `resolve`; `recall` asks the server's other processes what they remember, for while the
 * registry is away.
 */
export function createVersionResolver(
  ask: (request: ResolveVersionRequest) => Promise<ResolvedVersion>,
  recall: VersionRecall = async () => null,
): VersionResolver {
  const entries = new Map<string, Entry>();
  const asking = new Map<string, Promise<ResolvedVersion>>();
  let epoch = 0;
  const keyOf = (model: string, version: string | undefined): string => `${model}\n${version ?? ''}`;

  function remember(key: string, entry: Entry): void {
    entries.delete(key);
    entries.set(key, entry);
    if (entries.size > ENTRIES_MAX) entries.delete(entries.keys().next().value as string);
  }

  /** The remembered answer that may be used while the registry is away. */
  function staleEntry(key: string): Entry | undefined {
    const held = entries.get(key);
    return held !== undefined && Date.now() - held.at < STALE_MS ? held : undefined;
  }

  async function refresh(key: string, name: string, version: string | undefined): Promise<ResolvedVersion> {
    const startedIn = epoch;
    try {
      const value = await ask({ ...ownerOf(name), ...(version !== undefined && { version }) });
      // an event that came meanwhile may be newer than this answer
      if (epoch === startedIn) remember(key, { value, at: Date.now(), isAway: false });
      return value;
    } catch (error) {
      const isAway = error instanceof AppError && error.retryable;
      const held = isAway ? staleEntry(key) : undefined;
      if (held !== undefined) {
        held.isAway = true;
        return held.value;
      }
      const told = isAway ? await recall(name, version).catch(() => null) : null;
      if (told !== null && epoch === startedIn) {
        remember(key, { ...told, isAway: true });
        return told.value;
      }
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
      assertNames(model, version);
      const running = asking.get(key) ?? refresh(key, model, version);
      asking.set(key, running);
      const known = staleEntry(key);
      if (known?.isAway !== true) return running;
      // only the first requests of an outage wait for an answer that does not come
      running.catch(() => undefined);
      return known.value;
    },
    byId: (modelVersionId) => ask({ modelVersionId }),
    remembered(model, version) {
      const held = staleEntry(keyOf(model, version));
      return held === undefined ? null : { value: held.value, at: held.at };
    },
    invalidate(model) {
      epoch += 1;
      for (const key of entries.keys())
        if (ownerOf(key.slice(0, key.indexOf('\n'))).model === model) entries.delete(key);
    },
  };
}
