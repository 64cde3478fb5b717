import { createHash } from 'node:crypto';
import { AppError } from '@millrace/contracts';
import type { RecordForm } from './record-scanner.ts';
import { createRecordScanner } from './record-scanner.ts';

/** Input of one chunk: the record that passes this closes it (bytes). */
export const CHUNK_BYTES_MAX = 16 * 1024 * 1024;
/** A single record (bytes). */
export const RECORD_BYTES_MAX = 16 * 1024 * 1024;
/** The record that names the columns of a CSV file (bytes). */
const HEADER_BYTES_MAX = 256 * 1024;
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/** A piece of a source that becomes a chunk: bytes `[start, end)` with their digest, and how many rows they hold. */
export type Cut = { start: number; end: number; rows: number; sha256: string };

export type CutOptions = {
  form: RecordForm;
  /** Whether the first record is not a row. */
  hasHeader: boolean;
  chunkRows: number;
  /** Number of the first row, for messages. */
  firstRow: number;
  onHeader?: (record: Buffer) => Promise<void>;
};

/** Cuts a stream of text into chunks of whole records. Throws `batch_input_invalid` for a record over its bound. */
export async function* cutText(source: AsyncIterable<Buffer>, options: CutOptions): AsyncGenerator<Cut> {
  const scanner = createRecordScanner(options.form);
  let header: Buffer[] | undefined = options.hasHeader ? [] : undefined;
  let position = 0;
  let recordAt = 0;
  let row = options.firstRow;
  let cut = { start: 0, rows: 0, hash: createHash('sha256') };
  const fresh = (start: number) => ({ start, rows: 0, hash: createHash('sha256') });

  function assertRecord(end: number): void {
    const bytesMax = header === undefined ? RECORD_BYTES_MAX : HEADER_BYTES_MAX;
    if (end - recordAt <= bytesMax) return;
    const what = header === undefined ? `Row ${row}` : 'The record with the names of the columns';
    throw new AppError(
      'batch_input_invalid',
      `${what} has more than ${bytesMax} bytes; is a quotation mark not closed?`,
    );
  }

  for await (const piece of source) {
    let bytes = piece;
    if (position === 0 && bytes.subarray(0, 3).equals(BYTE_ORDER_MARK)) {
      bytes = bytes.subarray(3);
      position = 3;
      recordAt = 3;
      cut = fresh(3);
    }
    const ends: [number, boolean][] = [];
    scanner.push(bytes, (end, isBlank) => ends.push([end, isBlank]));
    let taken = 0;
    for (const [end, isBlank] of ends) {
      const part = bytes.subarray(taken, end);
      taken = end;
      if (header !== undefined) {
        header.push(part);
        assertRecord(position + end);
        recordAt = position + end;
        cut = fresh(recordAt);
        if (!isBlank) {
          await options.onHeader?.(Buffer.concat(header));
          header = undefined;
        } else header = [];
        continue;
      }
      cut.hash.update(part);
      assertRecord(position + end);
      recordAt = position + end;
      if (!isBlank) {
        cut.rows += 1;
        row += 1;
      }
      if (cut.rows >= options.chunkRows || recordAt - cut.start >= CHUNK_BYTES_MAX) {
        if (cut.rows > 0)
          yield { start: cut.start, end: recordAt, rows: cut.rows, sha256: cut.hash.digest('hex') };
        cut = fresh(recordAt);
      }
    }
    const rest = bytes.subarray(taken);
    if (header !== undefined) header.push(Buffer.from(rest));
    else cut.hash.update(rest);
    position += bytes.length;
    assertRecord(position);
  }
  const isRestBlank = scanner.isRestBlank();
  if (header !== undefined) {
    if (!isRestBlank) await options.onHeader?.(Buffer.concat(header));
    return;
  }
  const rows = cut.rows + (isRestBlank ? 0 : 1);
  if (rows > 0) yield { start: cut.start, end: position, rows, sha256: cut.hash.digest('hex') };
}

/** Cuts a stream of rows that all have the same number of bytes, after a front of `headBytes`. */
export async function* cutRows(
  source: AsyncIterable<Buffer>,
  options: { headBytes: number; rowBytes: number; rows: number; chunkRows: number },
): AsyncGenerator<Cut> {
  const { headBytes, rowBytes, rows } = options;
  const perChunk = Math.max(1, Math.min(options.chunkRows, Math.floor(CHUNK_BYTES_MAX / rowBytes)));
  let position = 0;
  let done = 0;
  let hash = createHash('sha256');
  for await (const piece of source) {
    let at = Math.max(0, Math.min(piece.length, headBytes - position));
    while (at < piece.length && done < rows) {
      const count = Math.min(perChunk, rows - done);
      const start = headBytes + done * rowBytes;
      const end = start + count * rowBytes;
      const stop = Math.min(piece.length, end - position);
      hash.update(piece.subarray(at, stop));
      at = stop;
      if (position + stop < end) break;
      yield { start, end, rows: count, sha256: hash.digest('hex') };
      hash = createHash('sha256');
      done += count;
    }
    position += piece.length;
  }
}
