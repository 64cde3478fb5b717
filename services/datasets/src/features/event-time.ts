/** What RFC 3339 takes, with a space in place of the T as databases write it, down to the microsecond. */
const INSTANT = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,6})0*)?([Zz]|[+-]\d\d:\d\d)$/;
/** Microseconds in a second. */
export const SECOND_US = 1_000_000;

/** An instant with its zone as whole µs since 1970; undefined for any other text and for finer times. */
export function microsOf(text: string): number | undefined {
  const [, date, time, fraction = '', zone] = INSTANT.exec(text) ?? [];
  if (date === undefined) return undefined;
  const ms = Date.parse(`${date}T${time}${zone?.toUpperCase()}`);
  return Number.isNaN(ms) ? undefined : ms * 1_000 + Number(fraction.padEnd(6, '0'));
}

/** The same as text in UTC, with three digits after the point or, where it has them, six. */
export function instantOf(us: number): string {
  const rest = ((us % 1_000) + 1_000) % 1_000;
  const text = new Date((us - rest) / 1_000).toISOString();
  return rest === 0 ? text : text.replace('Z', `${String(rest).padStart(3, '0')}Z`);
}

/** Now, in µs. */
export const nowUs = (): number => Date.now() * 1_000;

/**
 * Whether a value of `eventUs` still counts at `atUs`: its age is at most the TTL. The one rule of online reads and
 * training sets.
 */
export function isFresh(eventUs: number, atUs: number, ttlSeconds: number | null): boolean {
  return ttlSeconds === null || atUs - eventUs <= ttlSeconds * SECOND_US;
}
