import type { Tensor } from '../tensors/tensor.ts';
import { rawBytes, tensorBytes } from '../tensors/tensor.ts';

/** Memory of an answer beside its tensors (bytes). */
const OVERHEAD_BYTES = 1_024;
/** Answers that are kept at once: expired ones are looked for among all. */
const ENTRIES_MAX = 100_000;

/** An answer that is kept, with the whole of the inputs it was given for. */
type Entry = {
  readonly key: string;
  readonly modelId: string;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly bytes: number;
  readonly expiresAt: number;
};

type Shelf = { entries: Map<string, Entry>; bytes: number };

function isSame(a: Tensor, b: Tensor): boolean {
  if (a.name !== b.name || a.dtype !== b.dtype || a.shape.length !== b.shape.length) return false;
  if (!a.shape.every((size, axis) => size === b.shape[axis])) return false;
  if (a.dtype === 'string' || b.dtype === 'string')
    return a.data.length === b.data.length && a.data.every((value, i) => value === b.data[i]);
  return Buffer.compare(rawBytes(a.data), rawBytes(b.data)) === 0;
}

/** Whether the inputs of two requests are the same to the bit. */
export function sameInputs(a: readonly Tensor[], b: readonly Tensor[]): boolean {
  return a.length === b.length && a.every((tensor, i) => isSame(tensor, b[i] as Tensor));
}

const copyOf = (tensor: Tensor): Tensor => ({ ...tensor, data: tensor.data.slice() }) as Tensor;
const bytesOf = (tensors: readonly Tensor[]): number =>
  tensors.reduce((total, tensor) => total + tensorBytes(tensor), 0);

/** Keeps answers by key within a bound for all models and one for each; the one used longest ago leaves first. */
export type CacheStore = {
  /** The outputs that were kept for the same key and the same inputs; a key alone never decides. */
  get(key: string, inputs: readonly Tensor[]): readonly Tensor[] | undefined;
  /** Keeps copies of the inputs, and the outputs themselves: nobody may change them. */
  put(entry: {
    key: string;
    modelId: string;
    inputs: readonly Tensor[];
    outputs: readonly Tensor[];
    bytesMax: number;
    ttlMs: number;
  }): void;
  stats(): { entries: number; bytes: number; evicted: number };
  /** Drops what has expired. */
  sweep(): void;
};

/** `now` is in ms. */
export function createCacheStore(bytesMax: number, now: () => number = () => performance.now()): CacheStore {
  const all = new Map<string, Entry>();
  const shelves = new Map<string, Shelf>();
  let bytes = 0;
  let evicted = 0;

  function remove(entry: Entry): void {
    all.delete(entry.key);
    bytes -= entry.bytes;
    const shelf = shelves.get(entry.modelId) as Shelf;
    shelf.entries.delete(entry.key);
    shelf.bytes -= entry.bytes;
    if (shelf.entries.size === 0) shelves.delete(entry.modelId);
  }

  function evict(entries: ReadonlyMap<string, Entry>): void {
    evicted += 1;
    remove(entries.values().next().value as Entry);
  }

  function add(entry: Entry, modelBytesMax: number): void {
    const shelf = shelves.get(entry.modelId) ?? { entries: new Map(), bytes: 0 };
    shelves.set(entry.modelId, shelf);
    for (const entries of [all, shelf.entries]) entries.set(entry.key, entry);
    bytes += entry.bytes;
    shelf.bytes += entry.bytes;
    while (shelf.bytes > modelBytesMax) evict(shelf.entries);
    while (bytes > bytesMax || all.size > ENTRIES_MAX) evict(all);
  }

  return {
    get(key, inputs) {
      const entry = all.get(key);
      if (entry === undefined || !sameInputs(entry.inputs, inputs)) return undefined;
      if (entry.expiresAt <= now()) {
        remove(entry);
        return undefined;
      }
      for (const entries of [all, (shelves.get(entry.modelId) as Shelf).entries]) {
        entries.delete(key);
        entries.set(key, entry);
      }
      return entry.outputs;
    },
    put({ key, modelId, inputs, outputs, bytesMax: modelBytesMax, ttlMs }) {
      const held = all.get(key);
      if (held !== undefined) remove(held);
      const size = bytesOf(inputs) + bytesOf(outputs) + OVERHEAD_BYTES;
      if (size > Math.min(bytesMax, modelBytesMax)) return;
      const own = { inputs: inputs.map(copyOf), outputs: [...outputs] };
      add({ key, modelId, ...own, bytes: size, expiresAt: now() + ttlMs }, modelBytesMax);
    },
    stats: () => ({ entries: all.size, bytes, evicted }),
    sweep() {
      const time = now();
      for (const entry of all.values()) if (entry.expiresAt <= time) remove(entry);
    },
  };
}
