import { Readable } from 'node:stream';
import { describe, expect, test } from '@jest/globals';
import {
  Bool,
  Field,
  FixedSizeList,
  Float32,
  Float64,
  Int64,
  RecordBatchStreamWriter,
  Schema,
  Table,
  TimestampMicrosecond,
  Utf8,
  vectorFromArray,
} from 'apache-arrow';
import { csvOfArrow } from '../src/exports/arrow-csv.ts';
import { cellOf, textCell } from '../src/exports/csv-cells.ts';

/**
 * An Arrow IPC file in pieces of 7 bytes: magic, the messages of a stream, a footer that is not needed to read it. (Arrow's
 * own file writer for JavaScript leaves out the message of the schema, which pyarrow writes as the format demands.)
 */
function file(table: Table): () => Promise<Readable> {
  const messages = RecordBatchStreamWriter.writeAll(table).toUint8Array(true);
  const bytes = Buffer.concat([Buffer.from('ARROW1\0\0'), messages, Buffer.alloc(40, 1)]);
  const pieces = Array.from({ length: Math.ceil(bytes.length / 7) }, (_, index) =>
    bytes.subarray(index * 7, index * 7 + 7),
  );
  return async () => Readable.from(pieces);
}

async function csv(...files: (() => Promise<Readable>)[]): Promise<string> {
  let text = '';
  for await (const piece of csvOfArrow(files)) text += piece;
  return text;
}

const texts = (name: string, values: (string | null)[]) =>
  new Table({ [name]: vectorFromArray(values, new Utf8()) });

describe('CSV of Arrow', () => {
  test('every type of an ingested version has its cell, and a vector a column for each element', async () => {
    const list = new FixedSizeList(2, new Field('item', new Float32()));
    const table = new Table({
      ok: vectorFromArray([true, null], new Bool()),
      count: vectorFromArray([9_007_199_254_740_993n, -1n], new Int64()),
      x: vectorFromArray([0.1, null], new Float64()),
      at: vectorFromArray([Date.UTC(2026, 0, 2), null], new TimestampMicrosecond()),
      label: vectorFromArray(['a,"b"', ''], new Utf8()),
      spectrum: vectorFromArray([[1, 2.5], null], list),
    });
    expect(await csv(file(table))).toBe(
      [
        'ok,count,x,at,label,spectrum_0,spectrum_1',
        'true,9007199254740993,0.1,2026-01-02T00:00:00.000Z,"a,""b""",1,2.5',
        ',-1,,,"",,',
        '',
      ].join('\r\n'),
    );
  });

  test('the splits follow each other under one header; a split without rows adds none', async () => {
    const empty = new Table(new Schema([new Field('a', new Utf8(), true)]));
    expect(await csv(file(texts('a', ['x'])), file(empty), file(texts('a', ['y'])))).toBe('a\r\nx\r\ny\r\n');
  });

  test('splits of different columns are refused', async () => {
    await expect(csv(file(texts('a', ['x'])), file(texts('b', ['y'])))).rejects.toMatchObject({
      code: 'malformed_data',
    });
  });

  test.each(['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', '\r=1'])(
    'the text %j is no formula any more, neither as a cell nor as a name',
    async (text) => {
      const [name = '', cell = ''] = (await csv(file(texts(text, [text])))).split('\r\n');
      expect(name.replace('"', '')).toMatch(/^'/);
      expect(cell.replace('"', '')).toMatch(/^'/);
    },
  );

  test('numbers keep their sign, and line breaks stay in their cell', () => {
    expect([cellOf(-1.5), textCell('a\nb'), cellOf(null), cellOf('')]).toEqual(['-1.5', '"a\nb"', '', '""']);
  });
});
