import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { EntityKey } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import { CsvError, parse } from 'csv-parse';
import { microsOf } from '../event-time.ts';

/** Rows that are joined at once: one statement for each view. */
const BATCH_ROWS = 1_000;
/** Rows of a version that one training set is made of. */
export const SOURCE_ROWS_MAX = 1_000_000;
/** One record of a CSV file, in bytes. */
const RECORD_BYTES_MAX = 1024 * 1024;
/** Text of a parser's error in a message (characters). */
const REASON_CHARS_MAX = 200;

/** A value that is carried from the request or the source into the training set. */
export type Carried = string | number | boolean | null;

/** One row to which values are joined; `keys` are by the names of entities. */
export type SpineRow = {
  readonly at: string;
  readonly atUs: number;
  readonly keys: Readonly<Record<string, EntityKey>>;
  readonly carried: readonly Carried[];
};

/** Rows to which values are joined, with the columns that they bring along. */
export type Spine = { readonly columns: readonly string[]; readonly batches: AsyncIterable<SpineRow[]> };

/** A row as a request has it. */
export type GivenRow = {
  readonly time: string;
  readonly keys: Readonly<Record<string, EntityKey>>;
  readonly labels?: Readonly<Record<string, Carried>>;
};

/** Where a version's CSV has the time of a row and the keys of its entities. */
export type SourceColumns = { readonly time: string; readonly keys: Readonly<Record<string, string>> };

function timeOf(text: string, at: string): number {
  const us = microsOf(text);
  if (us !== undefined) return us;
  throw new AppError(
    'invalid_feature_row',
    `${at} has the time ${JSON.stringify(text.slice(0, 64))}; write an instant with its zone: 2026-11-22T06:00:00Z.`,
  );
}

/**
 * Rows of a request: the columns are `time`, the entities and the labels, which every row must have alike.
 * @throws AppError `invalid_feature_row`
 */
export function givenSpine(rows: readonly GivenRow[]): Spine {
  const [first] = rows;
  const entities = Object.keys(first?.keys ?? {});
  const labels = Object.keys(first?.labels ?? {});
  const columns = ['time', ...entities, ...labels];
  if (new Set(columns).size < columns.length)
    throw new AppError('invalid_feature_row', 'body.rows.0 has an entity and a label, or time, of one name.');
  const read = rows.map((row, index): SpineRow => {
    const at = `body.rows.${index}`;
    const own = [...Object.keys(row.keys), ...Object.keys(row.labels ?? {})];
    const isAlike = own.length === columns.length - 1 && own.every((name) => columns.includes(name));
    if (!isAlike)
      throw new AppError('invalid_feature_row', `${at} has other keys or labels than the first row.`);
    const carried = [
      row.time,
      ...entities.map((name) => row.keys[name] ?? null),
      ...labels.map((name) => row.labels?.[name] ?? null),
    ];
    return { at, atUs: timeOf(row.time, at), keys: row.keys, carried };
  });
  async function* batches() {
    for (let from = 0; from < read.length; from += BATCH_ROWS) yield read.slice(from, from + BATCH_ROWS);
  }
  return { columns, batches: batches() };
}

function placeOf(header: readonly string[], column: string, field: string): number {
  const place = header.indexOf(column);
  if (place >= 0) return place;
  throw new AppError('invalid_request', `body.source.${field} names ${column}, which the version has not.`);
}

function toFault(error: unknown): unknown {
  if (!(error instanceof CsvError)) return error;
  const reason = error.message.slice(0, REASON_CHARS_MAX);
  return new AppError('malformed_data', `The file of the version is not CSV: ${reason}.`, { cause: error });
}

/**
 * Rows of a CSV with a header, which come along as they are; a batch in memory at a time.
 * @throws AppError `malformed_data`, `invalid_request`, `invalid_feature_row`, `payload_too_large`; the later three
 * while it is read as well
 */
export async function csvSpine(csv: Readable, wanted: SourceColumns): Promise<Spine> {
  const parser = csv.pipe(
    parse({
      bom: true,
      skip_empty_lines: true,
      max_record_size: RECORD_BYTES_MAX,
      record_delimiter: ['\r\n', '\n'],
    }),
  );
  // a file that cannot be read further ends the parser, whoever waits for it
  csv.once('error', (error) => parser.destroy(error));
  finished(parser).catch(() => csv.destroy());
  const records = parser[Symbol.asyncIterator]() as AsyncIterator<string[]>;
  const next = async (): Promise<string[] | undefined> => {
    try {
      const { done, value } = await records.next();
      return done === true ? undefined : value;
    } catch (error) {
      throw toFault(error);
    }
  };
  const header = (await next()) ?? [];
  const time = placeOf(header, wanted.time, 'time');
  const keys = Object.entries(wanted.keys).map(
    ([entity, column]) => [entity, placeOf(header, column, `keys.${entity}`)] as const,
  );

  async function* batches() {
    let count = 0;
    let batch: SpineRow[] = [];
    try {
      for (let record = await next(); record !== undefined; record = await next()) {
        count += 1;
        if (count > SOURCE_ROWS_MAX)
          throw new AppError(
            'payload_too_large',
            `The version has more than ${SOURCE_ROWS_MAX} rows; divide it into several.`,
          );
        const at = `Row ${count} of the version`;
        batch.push({
          at,
          atUs: timeOf(record[time] ?? '', at),
          keys: Object.fromEntries(keys.map(([entity, place]) => [entity, record[place] ?? ''])),
          carried: record,
        });
        if (batch.length < BATCH_ROWS) continue;
        yield batch;
        batch = [];
      }
      if (batch.length > 0) yield batch;
    } finally {
      csv.destroy();
      parser.destroy();
    }
  }
  return { columns: header, batches: batches() };
}
