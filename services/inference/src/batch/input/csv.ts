import { AppError } from '@millrace/contracts';
import { CsvError, parse } from 'csv-parse/sync';

/** Records that an error of the parser leaves out of a message (characters). */
const REASON_CHARS_MAX = 200;

/** Reads records of RFC 4180. Throws `batch_input_invalid` with the parser's reason. */
export function readCsv(bytes: Buffer, delimiter: string): string[][] {
  try {
    return parse(bytes, {
      delimiter,
      record_delimiter: ['\r\n', '\n'],
      relax_column_count: true,
      skip_empty_lines: true,
    });
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw new AppError(
      'batch_input_invalid',
      `The record is not CSV: ${error.message.slice(0, REASON_CHARS_MAX)}.`,
      { cause: error },
    );
  }
}

/** Reads exactly one record. Throws `batch_input_invalid`. */
export function readCsvRecord(bytes: Buffer, delimiter: string): string[] {
  const [record, ...others] = readCsv(bytes, delimiter);
  if (record !== undefined && others.length === 0) return record;
  throw new AppError('batch_input_invalid', 'The record is not CSV: it has a line break outside of quotes.');
}
