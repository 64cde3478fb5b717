import type { Readable } from 'node:stream';
import { AppError } from '@millrace/contracts';
import type { RecordBatch as Batch, Field, Vector } from 'apache-arrow';
import { cellOf, instantCell, textCell } from './csv-cells.ts';

/** Magic and padding before the messages of an Arrow IPC file; what follows reads as a stream. */
const FILE_MAGIC_BYTES = 8;
/** Text that is gathered before it is sent (characters). */
const CHUNK_CHARS = 64 * 1024;

type Write = (row: number) => string;

/**
 * The rows of Arrow IPC files of one schema as CSV with one header, a record batch in memory at a time. A vector `name`
 * of n elements becomes the columns `name_0` … `name_<n-1>`, as ingestions read them. Every file is read to its end, so
 * that streams that check a digest have checked it before the last row is sent.
 * @throws AppError `malformed_data` when a file is cut off or has other columns than the first
 */
export async function* csvOfArrow(files: Iterable<() => Promise<Readable>>): AsyncGenerator<string> {
  const { RecordBatch, RecordBatchReader } = await import('apache-arrow');
  let header: string | undefined;
  for (const open of files) {
    const source = (await open())[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
    const reader = await RecordBatchReader.from(withoutMagic(source));
    await reader.open();
    const line = headerOf(reader.schema.fields);
    if (header === undefined) yield `${line}\r\n`;
    else if (header !== line)
      throw new AppError('malformed_data', 'The splits of the version have different columns.');
    header = line;
    for await (const batch of reader) {
      // of a file without batches the reader makes one of a class of its own, and then reads on past the end
      if (Object.getPrototypeOf(batch) !== RecordBatch.prototype) break;
      yield* rowsOf(batch as Batch);
    }
    while ((await source.next()).done !== true);
  }
}

/** Arrow's reader may end this; the stream under it stays open for the rest of the file. */
async function* withoutMagic(source: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  let left = FILE_MAGIC_BYTES;
  for (;;) {
    const { done, value } = await source.next();
    if (done === true) return;
    if (value.length > left) yield value.subarray(left);
    left = Math.max(0, left - value.length);
  }
}

const sizeOf = ({ type }: Field): number | undefined => (type as { listSize?: number }).listSize;

function headerOf(fields: readonly Field[]): string {
  return fields
    .flatMap((field) => {
      const size = sizeOf(field);
      if (size === undefined) return [textCell(field.name)];
      return Array.from({ length: size }, (_, index) => textCell(`${field.name}_${index}`));
    })
    .join(',');
}

function* rowsOf(batch: Batch): Generator<string> {
  const columns = batch.schema.fields.map((field, index) => writerOf(field, batch.getChildAt(index)));
  let text = '';
  for (let row = 0; row < batch.numRows; row += 1) {
    text += `${columns.map((write) => write(row)).join(',')}\r\n`;
    if (text.length < CHUNK_CHARS) continue;
    yield text;
    text = '';
  }
  if (text !== '') yield text;
}

function writerOf(field: Field, column: Vector | null): Write {
  if (column === null) throw new AppError('malformed_data', `The column ${field.name} is missing.`);
  const size = sizeOf(field);
  if (size !== undefined) {
    const empty = ','.repeat(Math.max(0, size - 1));
    return (row) => {
      const vector = column.get(row) as Vector | null;
      return vector === null ? empty : Array.from(vector, cellOf).join(',');
    };
  }
  // the unit is scaled to ms by Arrow itself
  if (String(field.type).startsWith('Timestamp'))
    return (row) => instantCell(column.get(row) as number | null);
  return (row) => cellOf(column.get(row));
}
