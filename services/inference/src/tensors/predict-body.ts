import { AppError } from '@millrace/contracts';

/** The places of the values of one JSON object in the bytes of a body. */
export type Member = { readonly key: string; readonly start: number; readonly end: number };

const QUOTE = 34;
const BACKSLASH = 92;
const COMMA = 44;
const COLON = 58;
const OPEN_OBJECT = 123;
const CLOSE_OBJECT = 125;
const OPEN_ARRAY = 91;
const CLOSE_ARRAY = 93;
/** Deeper JSON than any tensor; deeper bodies are refused before JSON.parse sees them. */
const DEPTH_MAX = 64;
/** Arrays inside others that are tried as flat ones, which are found natively; more would cost more than it saves. */
const FLAT_TRIES = 8;

function invalid(): AppError {
  return new AppError('invalid_json', 'The body is not valid JSON.');
}

function skipSpace(bytes: Buffer, at: number): number {
  let p = at;
  while (bytes[p] === 32 || bytes[p] === 10 || bytes[p] === 13 || bytes[p] === 9) p += 1;
  return p;
}

/** Index after the string that opens at `at`. */
function skipString(bytes: Buffer, at: number): number {
  for (let p = at + 1; ; ) {
    const quote = bytes.indexOf(QUOTE, p);
    if (quote < 0) throw invalid();
    let slashes = 0;
    for (let i = quote - 1; bytes[i] === BACKSLASH && i > at; i -= 1) slashes += 1;
    if (slashes % 2 === 0) return quote + 1;
    p = quote + 1;
  }
}

/** Whether the array at `at` is flat and without strings; then it ends at the first bracket (found natively). */
function flatArrayEnd(bytes: Buffer, at: number): number | undefined {
  const close = bytes.indexOf(CLOSE_ARRAY, at);
  if (close < 0) throw invalid();
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
    if (c < 91 && c !== QUOTE) continue;
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
  throw invalid();
}

function skipValue(bytes: Buffer, at: number): number {
  const c = bytes[at];
  if (c === QUOTE) return skipString(bytes, at);
  if (c === OPEN_ARRAY) return flatArrayEnd(bytes, at) ?? skipNested(bytes, at);
  if (c === OPEN_OBJECT) return skipNested(bytes, at);
  let p = at;
  while (p < bytes.length && bytes[p] !== COMMA && bytes[p] !== CLOSE_OBJECT && bytes[p] !== CLOSE_ARRAY)
    p += 1;
  if (p === at) throw invalid();
  return p;
}

/**
 * Lists the members of the object that opens at `at` without reading their values.
 * Throws `invalid_json` when it is not an object, is cut off, or names a key twice.
 */
export function objectMembers(bytes: Buffer, at = 0): { members: Member[]; end: number } {
  let p = skipSpace(bytes, at);
  if (bytes[p] !== OPEN_OBJECT) throw new AppError('invalid_json', 'The body must be a JSON object.');
  const members: Member[] = [];
  const seen = new Set<string>();
  p = skipSpace(bytes, p + 1);
  if (bytes[p] === CLOSE_OBJECT) return { members, end: p + 1 };
  for (;;) {
    if (bytes[p] !== QUOTE) throw invalid();
    const keyEnd = skipString(bytes, p);
    const key = parseSlice(bytes, p, keyEnd) as string;
    if (seen.has(key)) throw new AppError('invalid_json', `The body names "${key}" twice.`);
    seen.add(key);
    p = skipSpace(bytes, keyEnd);
    if (bytes[p] !== COLON) throw invalid();
    const start = skipSpace(bytes, p + 1);
    const end = skipValue(bytes, start);
    members.push({ key, start, end });
    p = skipSpace(bytes, end);
    if (bytes[p] === CLOSE_OBJECT) return { members, end: p + 1 };
    if (bytes[p] !== COMMA) throw invalid();
    p = skipSpace(bytes, p + 1);
  }
}

/**
 * Lists the places of the elements of the array that opens at `at`.
 * Throws `invalid_json` when it is not an array or is cut off.
 */
export function arrayElements(bytes: Buffer, at: number, what: string): { start: number; end: number }[] {
  if (bytes[at] !== OPEN_ARRAY) throw new AppError('invalid_request', `${what} must be an array.`);
  const elements: { start: number; end: number }[] = [];
  let p = skipSpace(bytes, at + 1);
  if (bytes[p] === CLOSE_ARRAY) return elements;
  for (;;) {
    const end = skipValue(bytes, p);
    elements.push({ start: p, end });
    p = skipSpace(bytes, end);
    if (bytes[p] === CLOSE_ARRAY) return elements;
    if (bytes[p] !== COMMA) throw invalid();
    p = skipSpace(bytes, p + 1);
  }
}

/** Parses a part of a body by JSON.parse. Throws `invalid_json`. */
export function parseSlice(bytes: Buffer, start: number, end: number): unknown {
  try {
    return JSON.parse(bytes.toString('utf8', start, end)) as unknown;
  } catch {
    throw invalid();
  }
}

/** Refuses anything but white space after the value of a body. */
export function assertEnd(bytes: Buffer, at: number): void {
  if (skipSpace(bytes, at) !== bytes.length) throw invalid();
}
