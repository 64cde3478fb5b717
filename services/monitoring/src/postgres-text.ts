// An escape that is itself escaped (`\\u0000`) is text and stays; JSON.stringify escapes surrogates only where one is alone.
const REFUSED_ESCAPES = /(?<!\\)((?:\\\\)*)\\u(?:0000|d[89a-f][0-9a-f]{2})/g;

/** JSON that Postgres takes: it has neither NUL nor half a character in its texts. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value).replaceAll(REFUSED_ESCAPES, '$1\ufffd');
}

/** Text that Postgres takes. */
export function plainText(value: string): string {
  return value.replaceAll('\0', '\ufffd').toWellFormed();
}
