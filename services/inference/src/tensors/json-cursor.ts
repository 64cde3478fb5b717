import { isUtf8 } from 'node:buffer';
import { AppError } from '@millrace/contracts';

const SPACE = 32;
const LINE_FEED = 10;
const RETURN = 13;
const TAB = 9;
const QUOTE = 34;
const COMMA = 44;
const MINUS = 45;
const ZERO = 48;
const NINE = 57;
const COLON = 58;
const OPEN_ARRAY = 91;
const BACKSLASH = 92;
const CLOSE_ARRAY = 93;
const OPEN_OBJECT = 123;
const CLOSE_OBJECT = 125;
const DELETE = 127;
/** Deeper JSON than any tensor; deeper bodies are refused before JSON.parse sees them. */
const DEPTH_MAX = 64;
/** So many digits are exact in a double. */
const EXACT_DIGITS_MAX = 15;
/** Up to this length a loop finds the end of an array faster than the native search (bytes). */
const SHORT_BYTES = 128;
/** Arrays inside others that are tried as flat ones, which are found natively; more would cost more than it saves. */
const FLAT_TRIES = 8;

/** The error for bytes that are not JSON. */
export function invalidJson(): AppError {
  return new AppError('invalid_json', 'The body is not valid JSON.');
}

/** Parses a part of a body by JSON.parse. Throws `invalid_json`, also for what is not UTF-8. */
export function parseSlice(bytes: Buffer, start: number, end: number): unknown {
  const text = bytes.toString('utf8', start, end);
  // decoding puts this character where the bytes are not UTF-8; it may also be in the text itself
  if (text.includes('\ufffd') && !isUtf8(bytes.subarray(start, end))) {
    throw new AppError('invalid_json', 'The body is not valid JSON: it is not UTF-8.');
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw invalidJson();
  }
}

/** Index after the string that opens at `at`. */
function skipString(bytes: Buffer, at: number): number {
  const near = Math.min(bytes.length, at + SHORT_BYTES);
  for (let p = at + 1; p < near; p += 1) {
    const c = bytes[p];
    if (c === QUOTE) return p + 1;
    if (c === BACKSLASH) break;
  }
  for (let p = at + 1; ; ) {
    const quote = bytes.indexOf(QUOTE, p);
    if (quote < 0) throw invalidJson();
    let slashes = 0;
    for (let i = quote - 1; bytes[i] === BACKSLASH && i > at; i -= 1) slashes += 1;
    if (slashes % 2 === 0) return quote + 1;
    p = quote + 1;
  }
}

/** Whether the array at `at` is flat and without strings; then it ends at the first bracket (found natively). */
function flatArrayEnd(bytes: Buffer, at: number): number | undefined {
  const near = Math.min(bytes.length, at + SHORT_BYTES);
  for (let p = at + 1; p < near; p += 1) {
    const c = bytes[p];
    if (c === CLOSE_ARRAY) return p + 1;
    if (c === QUOTE || c === OPEN_ARRAY || c === OPEN_OBJECT) return undefined;
  }
  const close = bytes.indexOf(CLOSE_ARRAY, at);
  if (close < 0) throw invalidJson();
  const inner = bytes.subarray(at + 1, close);
  const isFlat = inner.indexOf(OPEN_ARRAY) < 0 && inner.indexOf(QUOTE) < 0 && inner.indexOf(OPEN_OBJECT) < 0;
  return isFlat ? close + 1 : undefined;
}

/** Index after the array or object that opens at `at`. */
function skipNested(bytes: Buffer, at: number): number {
  let depth = 0;
  let flatTries = FLAT_TRIES;
  for (let p = at; p < bytes.length; p += 1) {
    const c = bytes[p] as number;
    // digits, signs, dots, commas and spaces are most of a body
    if (c < OPEN_ARRAY && c !== QUOTE) continue;
    if (c === QUOTE) p = skipString(bytes, p) - 1;
    else if (c === OPEN_ARRAY || c === OPEN_OBJECT) {
      depth += 1;
      if (depth > DEPTH_MAX) throw new AppError('invalid_json', `The body nests deeper than ${DEPTH_MAX}.`);
      if (c === OPEN_ARRAY && p > at && flatTries-- > 0) {
        const end = flatArrayEnd(bytes, p);
        if (end !== undefined) {
          depth -= 1;
          p = end - 1;
        }
      }
    } else if (c === CLOSE_ARRAY || c === CLOSE_OBJECT) {
      depth -= 1;
      if (depth === 0) return p + 1;
    }
  }
  throw invalidJson();
}

/**
 * Walks through the JSON of a body from value to value, without making objects of what it passes. Everything it reads is
 * checked; what it skips is only found the end of, and is checked by whoever reads it. All methods throw `invalid_json`.
 */
export class JsonCursor {
  readonly bytes: Buffer;
  at: number;

  constructor(bytes: Buffer, at = 0) {
    this.bytes = bytes;
    this.at = at;
  }

  /** The next byte that is not white space; 0 at the end. */
  peek(): number {
    const { bytes } = this;
    let p = this.at;
    let c = bytes[p];
    while (c === SPACE || c === LINE_FEED || c === RETURN || c === TAB) c = bytes[++p];
    this.at = p;
    return c ?? 0;
  }

  isObject(): boolean {
    return this.peek() === OPEN_OBJECT;
  }

  isArray(): boolean {
    return this.peek() === OPEN_ARRAY;
  }

  isText(): boolean {
    return this.peek() === QUOTE;
  }

  /** Steps into an object; then `nextKey` for each member. */
  openObject(): void {
    if (this.peek() !== OPEN_OBJECT) throw invalidJson();
    this.at += 1;
  }

  /** Steps into an array; then `nextElement` before each element. */
  openArray(): void {
    if (this.peek() !== OPEN_ARRAY) throw invalidJson();
    this.at += 1;
  }

  /** Whether a value follows; steps over the comma before it, or over the closing bracket. */
  private next(close: number, isFirst: boolean): boolean {
    const c = this.peek();
    if (c === close) {
      this.at += 1;
      return false;
    }
    if (isFirst) return true;
    if (c !== COMMA) throw invalidJson();
    this.at += 1;
    return true;
  }

  nextElement(isFirst: boolean): boolean {
    return this.next(CLOSE_ARRAY, isFirst);
  }

  /** The key of the next member, the cursor then being at its value; undefined after the last. */
  nextKey(isFirst: boolean): string | undefined {
    if (!this.next(CLOSE_OBJECT, isFirst)) return undefined;
    const key = this.text();
    if (this.peek() !== COLON) throw invalidJson();
    this.at += 1;
    this.peek();
    return key;
  }

  /** A string. */
  text(): string {
    if (this.peek() !== QUOTE) throw invalidJson();
    const { bytes } = this;
    const start = this.at + 1;
    let p = start;
    let c = bytes[p] as number;
    while (c !== QUOTE && c >= SPACE && c < DELETE && c !== BACKSLASH) c = bytes[++p] as number;
    if (c === QUOTE) {
      this.at = p + 1;
      return bytes.toString('latin1', start, p);
    }
    const end = skipString(bytes, this.at);
    const value = parseSlice(bytes, this.at, end) as string;
    this.at = end;
    return value;
  }

  /** Any value, by JSON.parse. */
  value(): unknown {
    const c = this.peek();
    if (c === QUOTE) return this.text();
    const start = this.at;
    this.skip();
    return parseSlice(this.bytes, start, this.at);
  }

  /** Any value, which is a plain whole number most of the time. */
  wholeNumber(): unknown {
    const { bytes } = this;
    const c = this.peek();
    let p = c === MINUS ? this.at + 1 : this.at;
    const first = p;
    let value = 0;
    let digit = bytes[p] as number;
    while (digit >= ZERO && digit <= NINE) {
      value = value * 10 + (digit - ZERO);
      digit = bytes[++p] as number;
    }
    const digits = p - first;
    const isPlain = digits > 0 && digits <= EXACT_DIGITS_MAX && (digits === 1 || bytes[first] !== ZERO);
    if (!isPlain || (digit !== COMMA && digit !== CLOSE_ARRAY && digit !== CLOSE_OBJECT)) return this.value();
    this.at = p;
    return c === MINUS ? -value : value;
  }

  /** Steps over any value; only its end is found. */
  skip(): void {
    const { bytes } = this;
    const c = this.peek();
    const { at } = this;
    if (c === QUOTE) this.at = skipString(bytes, at);
    else if (c === OPEN_ARRAY) this.at = flatArrayEnd(bytes, at) ?? skipNested(bytes, at);
    else if (c === OPEN_OBJECT) this.at = skipNested(bytes, at);
    else {
      let p = at;
      while (p < bytes.length && bytes[p] !== COMMA && bytes[p] !== CLOSE_OBJECT && bytes[p] !== CLOSE_ARRAY)
        p += 1;
      if (p === at) throw invalidJson();
      this.at = p;
    }
  }

  /** Refuses anything but white space from here on. */
  end(): void {
    this.peek();
    if (this.at !== this.bytes.length) throw invalidJson();
  }
}
