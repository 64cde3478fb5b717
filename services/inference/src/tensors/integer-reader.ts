import type { DType, NumericData } from './dtype.ts';
import type { ArrayTarget, ReadArray, ReadLeaf } from './nested-reader.ts';
import { grown, readNested } from './nested-reader.ts';

/**
 * Reads a JSON array of whole numbers from the bytes of a body, exact for all 64 bits. Numbers may be written in any way
 * that JSON has, and as texts of digits; what is not whole or does not fit the type is left to the caller.
 */

const SPACE = 32;
const LINE_FEED = 10;
const RETURN = 13;
const TAB = 9;
const QUOTE = 34;
const PLUS = 43;
const COMMA = 44;
const MINUS = 45;
const DOT = 46;
const ZERO = 48;
const NINE = 57;
const CLOSE = 93;
const LOWER_E = 101;
const UPPER_E = 69;

/** So many digits are exact in a double. */
const EXACT_DIGITS_MAX = 15;
/** A whole number of 64 bits written longer than this has only zeros to add. */
const TEXT_LENGTH_MAX = 400;
const HALF = 2 ** 32;
const NUMBER = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

/** A text of digits, which only the types of 64 bits take. */
const WHOLE = /^-?\d{1,20}$/;

/** Types of whole numbers. */
export type IntegerType = 'int8' | 'int16' | 'int32' | 'int64' | 'uint8' | 'uint16' | 'uint32' | 'uint64';
export type IntegerTarget = Exclude<NumericData, Float32Array | Float64Array>;

const signed = (bits: bigint) => [-(2n ** (bits - 1n)), 2n ** (bits - 1n) - 1n] as const;
const unsigned = (bits: bigint) => [0n, 2n ** bits - 1n] as const;

/** Inclusive bounds of each type. */
export const WHOLE_RANGES: Readonly<Record<IntegerType, readonly [bigint, bigint]>> = {
  int8: signed(8n),
  int16: signed(16n),
  int32: signed(32n),
  int64: signed(64n),
  uint8: unsigned(8n),
  uint16: unsigned(16n),
  uint32: unsigned(32n),
  uint64: unsigned(64n),
};

/** The value of a JSON number if it is whole, to the last digit; undefined for any other text. */
export function exactWhole(text: string): bigint | undefined {
  if (text.length > TEXT_LENGTH_MAX) return undefined;
  const [, sign, whole = '', fraction = '', power = '0'] = NUMBER.exec(text) ?? [];
  if (sign === undefined) return undefined;
  const digits = (whole + fraction).replace(/0+$/, '');
  if (digits === '') return 0n;
  const zeros = whole.length + fraction.length - digits.length;
  const exponent = Number(power) - fraction.length + zeros;
  if (exponent < 0 || exponent > TEXT_LENGTH_MAX) return undefined;
  const size = BigInt(digits) * 10n ** BigInt(exponent);
  return sign === '-' ? -size : size;
}

type Store = { data: IntegerTarget & ArrayTarget; halves: Int32Array | undefined };

function halvesOf(data: IntegerTarget): Int32Array | undefined {
  const isWide = data instanceof BigInt64Array || data instanceof BigUint64Array;
  return isWide ? new Int32Array(data.buffer, data.byteOffset, data.length * 2) : undefined;
}

/** Index after the number that begins at `at`; anything that a number may consist of. */
function numberEnd(bytes: Buffer, at: number): number {
  let p = at;
  for (let c = bytes[p] as number; ; c = bytes[++p] as number) {
    const isPart =
      (c >= ZERO && c <= NINE) || c === DOT || c === MINUS || c === PLUS || c === LOWER_E || c === UPPER_E;
    if (!isPart) return p;
  }
}

function leafReader(type: IntegerType): ReadLeaf<IntegerTarget & ArrayTarget> {
  const [low, high] = WHOLE_RANGES[type];
  const lowNumber = Number(low);
  const highNumber = Number(high);

  /** A value that is long, written as a text, or has a fraction or an exponent; gives the index after it. */
  function readLong(bytes: Buffer, at: number, store: Store, index: number): number | undefined {
    const isText = bytes[at] === QUOTE && store.halves !== undefined;
    const start = isText ? at + 1 : at;
    const end = numberEnd(bytes, start);
    if (isText && bytes[end] !== QUOTE) return undefined;
    const first = bytes[start] === MINUS ? start + 1 : start;
    // JSON has no leading zeros
    if (bytes[first] === ZERO && (bytes[first + 1] as number) >= ZERO && (bytes[first + 1] as number) <= NINE)
      return undefined;
    const text = bytes.toString('latin1', start, end);
    if (isText && !WHOLE.test(text)) return undefined;
    const value = exactWhole(text);
    if (value === undefined || value < low || value > high) return undefined;
    if (store.halves === undefined) (store.data as Int32Array)[index] = Number(value);
    else (store.data as BigInt64Array)[index] = value;
    return isText ? end + 1 : end;
  }

  return function readLeaf(bytes, at, target, from, capacityMax) {
    const store: Store = { data: target, halves: halvesOf(target) };
    let n = from;
    let p = at;
    for (;;) {
      let c = bytes[p] as number;
      while (c === SPACE || c === LINE_FEED || c === RETURN || c === TAB) c = bytes[++p] as number;
      if (n === store.data.length) {
        const larger = grown(store.data, capacityMax);
        if (larger === undefined) return undefined;
        store.data = larger;
        store.halves = halvesOf(larger);
      }
      const start = p;
      if (c === MINUS) c = bytes[++p] as number;
      const first = p;
      let value = 0;
      while (c >= ZERO && c <= NINE) {
        value = value * 10 + (c - ZERO);
        c = bytes[++p] as number;
      }
      const digits = p - first;
      const isPlain =
        digits > 0 &&
        digits <= EXACT_DIGITS_MAX &&
        (digits === 1 || bytes[first] !== ZERO) &&
        c !== DOT &&
        c !== LOWER_E &&
        c !== UPPER_E;
      if (isPlain) {
        if (first > start) value = -value;
        if (value < lowNumber || value > highNumber) return undefined;
        if (store.halves === undefined) (store.data as Int32Array)[n] = value;
        else {
          // little-endian, as the runtime and our wires have it
          store.halves[n * 2] = value % HALF;
          store.halves[n * 2 + 1] = Math.floor(value / HALF);
        }
      } else {
        const end = readLong(bytes, start, store, n);
        if (end === undefined) return undefined;
        p = end;
        c = bytes[p] as number;
      }
      n += 1;
      while (c === SPACE || c === LINE_FEED || c === RETURN || c === TAB) c = bytes[++p] as number;
      if (c === COMMA) p += 1;
      else if (c === CLOSE) return { data: store.data, count: n - from, end: p + 1, isAllFinite: true };
      else return undefined;
    }
  };
}

const READERS = {
  int8: leafReader('int8'),
  int16: leafReader('int16'),
  int32: leafReader('int32'),
  int64: leafReader('int64'),
  uint8: leafReader('uint8'),
  uint16: leafReader('uint16'),
  uint32: leafReader('uint32'),
  uint64: leafReader('uint64'),
};

/** Whether a type is one of whole numbers. */
export function isIntegerType(dtype: DType): dtype is IntegerType {
  return Object.hasOwn(READERS, dtype);
}

/**
 * Reads the array that opens at `at`, flat or nested, into `target` (which may be replaced by a larger one up to
 * `capacityMax` elements). Undefined when it holds anything but whole numbers of the type, is ragged, empty, too long
 * or not JSON.
 */
export function readIntegerArray(
  bytes: Buffer,
  at: number,
  type: IntegerType,
  target: IntegerTarget,
  capacityMax: number,
): ReadArray<IntegerTarget & ArrayTarget> | undefined {
  return readNested(bytes, at, target as IntegerTarget & ArrayTarget, capacityMax, READERS[type]);
}
