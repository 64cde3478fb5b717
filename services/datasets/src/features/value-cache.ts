import type { ValueRow } from './feature-value.repository.ts';

/** Memory that an entry takes beside its values, in bytes. */
const ENTRY_BYTES = 400;
const CHAR_BYTES = 2;

/** An entity's newest row, or that it has none. */
export type Held = ValueRow | null;
type Entry = { readonly held: Held; readonly readAt: number; readonly bytes: number };

export type ValueCacheOptions = {
  /** A row is read anew after this long (ms); 0 keeps nothing. */
  ageMs: number;
  /** What is over it goes, the longest unused first. */
  bytesMax: number;
  /** Reads the newest rows of entities of one view. */
  read: (viewId: string, entities: readonly string[]) => Promise<readonly ValueRow[]>;
  /** Milliseconds of a clock that never goes back. */
  now?: () => number;
};

export type ValueCache = ReturnType<typeof createValueCache>;

const bytesOf = (key: string, held: Held): number =>
  ENTRY_BYTES + CHAR_BYTES * (key.length + (held === null ? 0 : JSON.stringify(held.values).length));

/**
 * The newest rows of entities for a short time. A row is at most `ageMs` old, however news of writes are lost; whether
 * it still counts is for whoever reads it, each time. What is asked for while it is being read is read once, unless it
 * was forgotten meanwhile: then the answer on its way is not kept, and who asks after that gets a newer one.
 */
export function createValueCache(options: ValueCacheOptions) {
  const { ageMs, bytesMax, read, now = () => performance.now() } = options;
  const entries = new Map<string, Entry>();
  const flights = new Map<string, Promise<Map<string, Held>>>();
  let bytes = 0;

  function drop(key: string): void {
    const entry = entries.get(key);
    if (entry === undefined) return;
    bytes -= entry.bytes;
    entries.delete(key);
  }

  function keep(key: string, held: Held, readAt: number): void {
    if (ageMs === 0) return;
    drop(key);
    const entry = { held, readAt, bytes: bytesOf(key, held) };
    entries.set(key, entry);
    bytes += entry.bytes;
    while (bytes > bytesMax) drop(entries.keys().next().value as string);
  }

  /** What is held and young enough; it is the most recently used then. */
  function young(key: string): Held | undefined {
    const entry = entries.get(key);
    if (entry === undefined) return undefined;
    if (now() - entry.readAt >= ageMs) {
      drop(key);
      return undefined;
    }
    entries.delete(key);
    entries.set(key, entry);
    return entry.held;
  }

  function fly(viewId: string, entities: readonly string[]): Promise<Map<string, Held>> {
    const readAt = now();
    const flight: Promise<Map<string, Held>> = read(viewId, entities)
      .then((rows) => {
        const found = new Map<string, Held>(entities.map((entity) => [entity, null]));
        for (const row of rows) found.set(row.entity, row);
        for (const [entity, held] of found)
          if (flights.get(viewId + entity) === flight) keep(viewId + entity, held, readAt);
        return found;
      })
      .finally(() => {
        for (const entity of entities)
          if (flights.get(viewId + entity) === flight) flights.delete(viewId + entity);
      });
    for (const entity of entities) flights.set(viewId + entity, flight);
    return flight;
  }

  return {
    /** The row if it is here, without waiting; undefined when it must be read. */
    peek: (viewId: string, entity: string): Held | undefined => young(viewId + entity),

    /** The newest rows of entities; null where there is none. Throws what reading throws. */
    async get(viewId: string, entities: readonly string[]): Promise<Map<string, Held>> {
      const found = new Map<string, Held>();
      const missing: string[] = [];
      const waiting = new Set<Promise<Map<string, Held>>>();
      const wanted = new Set(entities);
      for (const entity of wanted) {
        const held = young(viewId + entity);
        const flight = flights.get(viewId + entity);
        if (held !== undefined) found.set(entity, held);
        else if (flight !== undefined) waiting.add(flight);
        else missing.push(entity);
      }
      if (missing.length > 0) waiting.add(fly(viewId, missing));
      for (const landed of await Promise.all(waiting))
        for (const [entity, held] of landed) if (wanted.has(entity)) found.set(entity, held);
      return found;
    },

    /** These rows were written: nobody gets an older one from here any more. */
    forget(viewId: string, entities: Iterable<string>): void {
      for (const entity of entities) {
        drop(viewId + entity);
        flights.delete(viewId + entity);
      }
    },

    clear(): void {
      entries.clear();
      flights.clear();
      bytes = 0;
    },

    /** Rows held, and what they take (bytes). */
    size: () => ({ rows: entries.size, bytes }),
  };
}
