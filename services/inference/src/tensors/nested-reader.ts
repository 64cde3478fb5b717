/** Deeper nesting than any tensor has. */
const DEPTH_MAX = 16;

const SPACE = 32;
const LINE_FEED = 10;
const RETURN = 13;
const TAB = 9;
const COMMA = 44;
const OPEN = 91;
const CLOSE = 93;

/** Typed memory that a JSON array is read into. */
export type ArrayTarget = {
  readonly length: number;
  subarray(start: number, end: number): ArrayTarget;
};

/** What was read: `data` has exactly the product of `shape` values; `end` is the index after the closing bracket. */
export type ReadArray<T extends ArrayTarget> = {
  data: T;
  shape: number[];
  end: number;
  /** Every value is finite for certain; false asks for a look. */
  isAllFinite: boolean;
};

/** The next `count` values were read up to `end`. */
export type Leaf<T extends ArrayTarget> = { data: T; count: number; end: number; isAllFinite: boolean };

/**
 * Reads values from `at` (after the bracket) to the bracket that closes them into `target` from index `from` on, which
 * may be replaced by a larger one up to `capacityMax` elements. Undefined when JSON.parse has to decide.
 */
export type ReadLeaf<T extends ArrayTarget> = (
  bytes: Buffer,
  at: number,
  target: T,
  from: number,
  capacityMax: number,
) => Leaf<T> | undefined;

/** A copy of `data` in twice the memory, at most `capacityMax` elements; undefined when it has that many. */
export function grown<T extends ArrayTarget>(data: T, capacityMax: number): T | undefined {
  if (data.length >= capacityMax) return undefined;
  const Constructor = data.constructor as new (length: number) => T & { set(values: T): void };
  const larger = new Constructor(Math.min(capacityMax, Math.max(16, data.length * 2)));
  larger.set(data);
  return larger;
}

function skipSpace(bytes: Uint8Array, at: number): number {
  let p = at;
  let c = bytes[p];
  while (c === SPACE || c === LINE_FEED || c === RETURN || c === TAB) c = bytes[++p];
  return p;
}

/**
 * Reads the array that opens at `at`, flat or nested, its innermost arrays by `readLeaf`. Undefined when that gives up,
 * or when the array is ragged, empty, too long, too deep or not JSON.
 */
export function readNested<T extends ArrayTarget>(
  bytes: Buffer,
  at: number,
  target: T,
  capacityMax: number,
  readLeaf: ReadLeaf<T>,
): ReadArray<T> | undefined {
  const sizes: number[] = [];
  const counts: number[] = [];
  let data = target;
  let count = 0;
  let p = at;
  let leafDepth = 0;
  let isAllFinite = true;
  for (;;) {
    // at an opening bracket: go down to the values
    while (bytes[p] === OPEN) {
      counts.push(0);
      if (counts.length > DEPTH_MAX) return undefined;
      p = skipSpace(bytes, p + 1);
    }
    leafDepth ||= counts.length;
    if (counts.length !== leafDepth || leafDepth === 0) return undefined;
    const leaf = readLeaf(bytes, p, data, count, capacityMax);
    if (leaf === undefined) return undefined;
    data = leaf.data;
    isAllFinite &&= leaf.isAllFinite;
    count += leaf.count;
    counts[leafDepth - 1] = leaf.count;
    p = leaf.end;
    // close as many levels as end here, each of the size that its first sibling had
    for (;;) {
      const depth = counts.length - 1;
      const size = counts.pop() as number;
      sizes[depth] ??= size;
      if (sizes[depth] !== size) return undefined;
      if (depth === 0) return { data: data.subarray(0, count) as T, shape: sizes, end: p, isAllFinite };
      counts[depth - 1] = (counts[depth - 1] as number) + 1;
      p = skipSpace(bytes, p);
      if (bytes[p] === COMMA) break;
      if (bytes[p] !== CLOSE) return undefined;
      p += 1;
    }
    p = skipSpace(bytes, p + 1);
    if (bytes[p] !== OPEN) return undefined;
  }
}
