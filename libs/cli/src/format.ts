/** Characters that would move the cursor or hide text when a name or message holds them. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/** Text that is safe to print in a terminal: control characters become `?`. */
export function plain(text: string): string {
  return text.replace(CONTROL, '?');
}

/** Rows under a heading, each column as wide as its widest cell; numbers stand at the right. */
export function table(heading: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = rows.map((row) => row.map((cell) => plain(String(cell)).replaceAll('\n', ' ')));
  const widths = heading.map((name, i) => Math.max(name.length, ...cells.map((row) => row[i]?.length ?? 0)));
  const isNumeric = heading.map(
    (_name, i) => rows.length > 0 && rows.every((row) => typeof row[i] === 'number'),
  );
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => (isNumeric[i] === true ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd();
  return [line(heading.map((name) => name.toUpperCase())), ...cells.map(line)].join('\n');
}

/** Two columns of names and values. */
export function fields(pairs: readonly (readonly [string, string | number | null | undefined])[]): string {
  const shown = pairs.filter(([, value]) => value !== undefined && value !== null && value !== '');
  const width = Math.max(...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${name.padEnd(width)}  ${plain(String(value))}`).join('\n');
}

/** A size for people: `3.4 MiB`. */
export function bytes(size: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = size < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(size) / 10));
  const value = size / 1024 ** power;
  return `${power === 0 ? value : value.toFixed(1)} ${units[power]}`;
}

/** A time span for people: `1 min 12 s`. */
export function duration(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** How long ago a time was, for people. */
export function ago(time: string, nowMs: number = Date.now()): string {
  return `${duration(Math.max(0, nowMs - Date.parse(time)))} ago`;
}

/** At most four significant digits. */
export function short(value: number): string {
  return Number(value.toPrecision(4)).toString();
}

/** The last eight characters of a UUIDv7 differ; the first ones are its time. */
export function shortId(id: string): string {
  return id.slice(-8);
}
