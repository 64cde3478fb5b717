/** What a webhook may ask for: a name such as `model-version.registered`, with `*` for any characters. */
export const TYPE_PATTERN = '^[a-z*][a-z0-9.*-]{0,99}$';

/** The name of an event from its CloudEvents type, `dev.millrace.<name>.v1`. */
export function eventName(type: string): string {
  return type.replace(/^dev\.millrace\./, '').replace(/\.v\d+$/, '');
}

/** Whether one of the patterns fits a name; takes time in proportion to both lengths. */
export function matchesType(patterns: readonly string[], name: string): boolean {
  return patterns.some((pattern) => matches(pattern.split('*'), name));
}

/** The pieces between the stars must occur one after the other, the first at the beginning, the last at the end. */
function matches(pieces: readonly string[], name: string): boolean {
  const [first = '', ...rest] = pieces;
  const last = rest.pop();
  if (last === undefined) return name === first;
  if (!name.startsWith(first)) return false;
  let at = first.length;
  for (const piece of rest) {
    const found = name.indexOf(piece, at);
    if (found === -1) return false;
    at = found + piece.length;
  }
  return name.length - last.length >= at && name.endsWith(last);
}
