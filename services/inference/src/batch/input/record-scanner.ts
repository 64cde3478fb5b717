const LINE_FEED = 10;
const RETURN = 13;
const QUOTE = 34;
const SPACE = 32;
const TAB = 9;

/** How records of a text are told apart: lines, or the records of RFC 4180, whose quoted fields may hold line breaks. */
export type RecordForm = { type: 'lines' } | { type: 'csv'; delimiter: number };

/** Called with the end of each record (after its line feed) and whether it is blank. */
export type OnRecord = (end: number, isBlank: boolean) => void;

/**
 * Finds where the records of a text end, piece by piece, without reading their values. A quote counts only at the
 * beginning of a field, as in RFC 4180; a CSV record is blank when it has no character, a line when it is white space.
 */
export function createRecordScanner(form: RecordForm) {
  const delimiter = form.type === 'csv' ? form.delimiter : -1;
  const isCsv = form.type === 'csv';
  let isQuoted = false;
  let isJustClosed = false;
  let isFieldStart = true;
  let isBlank = true;

  return {
    /** Reads a piece; the positions given to `onRecord` count from its beginning. */
    push(bytes: Uint8Array, onRecord: OnRecord): void {
      for (let at = 0; at < bytes.length; at += 1) {
        const c = bytes[at] as number;
        if (isQuoted) {
          // two quotes are one of the text: they close and open again
          if (c === QUOTE) {
            isQuoted = false;
            isJustClosed = true;
          }
          continue;
        }
        if (c === LINE_FEED) {
          onRecord(at + 1, isBlank);
          isBlank = true;
          isFieldStart = true;
        } else if (c === QUOTE && isCsv && (isFieldStart || isJustClosed)) {
          isQuoted = true;
          isFieldStart = false;
          isBlank = false;
        } else {
          isFieldStart = c === delimiter;
          isBlank &&= c === RETURN || (!isCsv && (c === SPACE || c === TAB));
        }
        isJustClosed = false;
      }
    },
    /** Whether the last record, which no line feed ends, is blank. */
    isRestBlank: (): boolean => isBlank,
  };
}

/** The records of a whole text that are not blank, as `[start, end)`. */
export function recordsOf(bytes: Uint8Array, form: RecordForm): [number, number][] {
  const records: [number, number][] = [];
  const scanner = createRecordScanner(form);
  let start = 0;
  scanner.push(bytes, (end, isBlank) => {
    if (!isBlank) records.push([start, end]);
    start = end;
  });
  if (!scanner.isRestBlank()) records.push([start, bytes.length]);
  return records;
}
