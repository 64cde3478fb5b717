import { AppError } from '@millrace/contracts';
import { decompress as decompressZstd } from 'fzstd';
import type { AsyncBuffer, Compressors, FileMetaData } from 'hyparquet';
import { parquetMetadataAsync, parquetReadObjects, parquetSchema } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { CHUNK_BYTES_MAX } from './cutter.ts';

const MIB = 1024 * 1024;
/** The footer with the description of all columns (bytes). */
const FOOTER_BYTES_MAX = 16 * MIB;
/** A row group is read whole: its values in the file and in memory (bytes), and its rows. */
const GROUP_BYTES_MAX = 256 * MIB;
const GROUP_ROWS_MAX = 2 ** 20;
const PAGE_BYTES_MAX = 64 * MIB;
/** Rows that are objects in memory at once. */
const ROWS_AT_ONCE = 8_192;

const invalid = (why: string, cause?: unknown): AppError =>
  new AppError('batch_input_invalid', `The Parquet file ${why}.`, { cause });

/** Into memory of the size that was checked: left alone it takes as much as the data ask for. */
const zstd = (input: Uint8Array, outputBytes: number): Uint8Array =>
  decompressZstd(input, new Uint8Array(outputBytes));

/** Decompression of pages within a bound, whatever a page says of its size. */
const bounded: Compressors = Object.fromEntries(
  Object.entries({ ...compressors, ZSTD: zstd }).map(([codec, decompress]) => [
    codec,
    (input: Uint8Array, outputBytes: number): Uint8Array => {
      if (outputBytes > PAGE_BYTES_MAX)
        throw invalid(`has a page of ${outputBytes} bytes; at most ${PAGE_BYTES_MAX} are read`);
      return decompress(input, outputBytes);
    },
  ]),
);

/** The last bytes of a file hold the size of its footer. Throws `batch_input_invalid`. */
async function readFooter(file: AsyncBuffer): Promise<FileMetaData> {
  const invalidEnd = 'does not end as one';
  if (file.byteLength < 12) throw invalid(invalidEnd);
  const end = Buffer.from(await file.slice(file.byteLength - 8));
  if (end.toString('latin1', 4) !== 'PAR1') throw invalid(invalidEnd);
  const footerBytes = end.readUInt32LE(0);
  if (footerBytes > Math.min(FOOTER_BYTES_MAX, file.byteLength - 8))
    throw invalid(`has a footer of ${footerBytes} bytes; at most ${FOOTER_BYTES_MAX} are read`);
  try {
    return await parquetMetadataAsync(file, { geoparquet: false });
  } catch (error) {
    throw invalid('has a footer that cannot be read', error);
  }
}

/** Where the bytes of a row group lie; asserts its bounds. */
function extentOf(group: FileMetaData['row_groups'][number], index: number): { start: number; end: number } {
  let start = Number.POSITIVE_INFINITY;
  let end = 0;
  for (const { meta_data: meta } of group.columns) {
    if (meta === undefined) throw invalid('keeps columns in another file');
    const first = Number(meta.dictionary_page_offset || meta.data_page_offset);
    start = Math.min(start, first);
    end = Math.max(end, first + Number(meta.total_compressed_size));
  }
  const rows = Number(group.num_rows);
  const bytes = Math.max(end - start, Number(group.total_byte_size));
  if (rows > GROUP_ROWS_MAX || bytes > GROUP_BYTES_MAX) {
    throw invalid(
      `has ${rows} rows in ${bytes} bytes in row group ${index}; write groups of at most ${GROUP_ROWS_MAX} rows and ${GROUP_BYTES_MAX} bytes`,
    );
  }
  if (!(start >= 0 && end > start)) throw invalid(`has no bytes in row group ${index}`);
  return { start, end };
}

/** Serves slices of a part that is in memory, and asks the file for others. */
function withPart(file: AsyncBuffer, start: number, part: ArrayBuffer): AsyncBuffer {
  return {
    byteLength: file.byteLength,
    slice(from, to = file.byteLength) {
      const isInside = from >= start && to <= start + part.byteLength;
      return isInside ? part.slice(from - start, to - start) : file.slice(from, to);
    },
  };
}

function cellText(value: unknown): string {
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value);
  if (typeof value === 'bigint') return String(value);
  if (Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView)))
    return `[${Array.from(value as ArrayLike<unknown>, cellText).join(',')}]`;
  return JSON.stringify(value) ?? 'null';
}

/** A row as a line of JSON; whole numbers keep all digits, and NaN stays what it is, which no model takes. */
function lineOf(columns: readonly string[], row: Record<string, unknown>): string {
  return `{${columns.map((name) => `${JSON.stringify(name)}:${cellText(row[name])}`).join(',')}}\n`;
}

/** What a Parquet file is turned into: its columns, then JSON lines in pieces of at most `chunkRows` rows. */
export type ParquetLines = {
  columns: string[];
  chunks: () => AsyncGenerator<{ rows: number; lines: Buffer }>;
};

/** Opens a Parquet file; each row group is read once. Throws `batch_input_invalid`. */
export async function openParquet(file: AsyncBuffer, chunkRows: number): Promise<ParquetLines> {
  const metadata = await readFooter(file);
  const columns = parquetSchema(metadata).children.map(({ element }) => element.name);

  async function readRows(part: AsyncBuffer, rowStart: number, rowEnd: number) {
    try {
      return await parquetReadObjects({
        file: part,
        metadata,
        rowStart,
        rowEnd,
        compressors: bounded,
        geoparquet: false,
      });
    } catch (error) {
      if (error instanceof AppError) throw error;
      throw invalid(`cannot be read from row ${rowStart + 1} on (${String(error).slice(0, 200)})`, error);
    }
  }

  async function* chunks(): AsyncGenerator<{ rows: number; lines: Buffer }> {
    let groupAt = 0;
    let lines: string[] = [];
    let bytes = 0;
    const take = () => {
      const chunk = { rows: lines.length, lines: Buffer.from(lines.join('')) };
      lines = [];
      bytes = 0;
      return chunk;
    };
    for (const [index, group] of metadata.row_groups.entries()) {
      const { start, end } = extentOf(group, index);
      const part = withPart(file, start, await file.slice(start, end));
      const groupEnd = groupAt + Number(group.num_rows);
      for (let at = groupAt; at < groupEnd; at += ROWS_AT_ONCE) {
        const to = Math.min(groupEnd, at + ROWS_AT_ONCE);
        const rows = await readRows(part, at, to);
        if (rows.length !== to - at) throw invalid(`has fewer rows than it says from row ${at + 1} on`);
        for (const row of rows) {
          const line = lineOf(columns, row);
          lines.push(line);
          bytes += line.length;
          if (lines.length >= chunkRows || bytes >= CHUNK_BYTES_MAX) yield take();
        }
      }
      groupAt = groupEnd;
    }
    if (lines.length > 0) yield take();
  }

  return { columns, chunks };
}
