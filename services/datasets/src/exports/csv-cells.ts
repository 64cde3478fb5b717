/** What a spreadsheet would take for the beginning of a formula (OWASP, CSV injection). */
const FORMULA = /^[=+\-@\t\r]/;
const NEEDS_QUOTES = /[",\r\n]|^\s|\s$/;

/** A text as a cell: quoted where it must be, and with an apostrophe before what would be run as a formula. */
export function textCell(text: string): string {
  const harmless = FORMULA.test(text) ? `'${text}` : text;
  if (harmless !== '' && !NEEDS_QUOTES.test(harmless)) return harmless;
  return `"${harmless.replaceAll('"', '""')}"`;
}

/** A value of an Arrow column as a cell; one that is missing is empty, an empty text is `""`. */
export function cellOf(value: unknown): string {
  if (value === null || value === undefined) return '';
  return typeof value === 'string' ? textCell(value) : String(value);
}

/** An instant in ms, with thousandths, as RFC 3339 with as many digits as it has. */
export function instantCell(ms: number | null): string {
  if (ms === null) return '';
  const micros = Math.round(ms * 1_000);
  const rest = ((micros % 1_000) + 1_000) % 1_000;
  const text = new Date((micros - rest) / 1_000).toISOString();
  return rest === 0 ? text : text.replace('Z', `${String(rest).padStart(3, '0')}Z`);
}
