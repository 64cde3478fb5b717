import canonicalize from 'canonicalize';

/**
 * The RFC 8785 (JCS) text of a JSON value: sorted keys, no white space, ECMAScript numbers; equal values give equal
 * text. Throws TypeError for what JSON cannot hold: NaN, Infinity, bigint, cycles, lone surrogates, undefined itself.
 */
export function canonicalJson(value: unknown): string {
  let text: string | undefined;
  try {
    text = canonicalize(value) as string | undefined;
  } catch (cause) {
    throw new TypeError(`The value has no canonical JSON: ${(cause as Error).message}.`, { cause });
  }
  if (text === undefined) throw new TypeError('The value has no canonical JSON: it is undefined.');
  // JSON.stringify writes a lone surrogate as \udXXX and a whole pair as itself, so only lone ones look like this.
  if (/(?:^|[^\\])(?:\\\\)*\\ud[89a-f][0-9a-f]{2}/.test(text)) {
    throw new TypeError('The value has no canonical JSON: a string holds a lone surrogate.');
  }
  return text;
}
