import { Readable } from 'node:stream';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { readCsv } from '../../src/batch/input/csv.ts';
import type { Cut } from '../../src/batch/input/cutter.ts';
import { cutRows, cutText } from '../../src/batch/input/cutter.ts';
import { readNpyHead, writeNpyHead } from '../../src/batch/input/npy-head.ts';
import { sha256Of } from '../support/test-registry.ts';

const field = fc.string({ unit: fc.constantFrom('a', '"', ',', '\n', '\r', ' ', 'é') });
const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;
const written = fc.oneof(field.map(quoted), fc.string({ unit: fc.constantFrom('a', '1', ' ', 'é') }));
/** Records of at least two fields, so that none is blank. */
const table = fc.array(fc.array(written, { minLength: 2, maxLength: 4 }), { minLength: 1, maxLength: 30 });

/** The bytes in pieces of these sizes. */
function inPieces(bytes: Buffer, sizes: readonly number[]): Readable {
  const pieces: Buffer[] = [];
  for (let at = 0, i = 0; at < bytes.length; i += 1) {
    const size = sizes[i % sizes.length] as number;
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return Readable.from(pieces);
}

async function all(cuts: AsyncIterable<Cut>): Promise<Cut[]> {
  const found: Cut[] = [];
  for await (const cut of cuts) found.push(cut);
  return found;
}

const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 });

test('chunks of CSV hold the records that the parser finds in the whole, however it arrives', async () => {
  await fc.assert(
    fc.asyncProperty(
      table,
      sizes,
      fc.integer({ min: 1, max: 7 }),
      fc.constantFrom('\n', '\r\n', '\n\n'),
      fc.boolean(),
      async (records, pieces, chunkRows, lineBreak, isEnded) => {
        const text = records.map((record) => record.join(',')).join(lineBreak) + (isEnded ? lineBreak : '');
        const bytes = Buffer.from(text);
        const form = { type: 'csv', delimiter: 44 } as const;
        const options = { form, hasHeader: false, chunkRows, firstRow: 1 };
        const cuts = await all(cutText(inPieces(bytes, pieces), options));
        const parsed = cuts.flatMap(({ start, end, rows, sha256 }) => {
          const part = bytes.subarray(start, end);
          expect(sha256Of(part)).toBe(sha256);
          const found = readCsv(part, ',');
          expect(found).toHaveLength(rows);
          return found;
        });
        expect(parsed).toEqual(readCsv(bytes, ','));
        expect(cuts.slice(0, -1).every(({ rows }) => rows === chunkRows)).toBe(true);
      },
    ),
    { numRuns: 300 },
  );
});

test('the header of CSV is no row; a byte order mark is no part of it', async () => {
  let header = '';
  const source = Readable.from([Buffer.from('\ufeff"a\nb",c\n1,2\n\n3,4')]);
  const options = {
    form: { type: 'csv', delimiter: 44 } as const,
    hasHeader: true,
    chunkRows: 10,
    firstRow: 1,
    onHeader: async (record: Buffer) => {
      header = record.toString();
    },
  };
  const cuts = await all(cutText(source, options));
  expect(header).toBe('"a\nb",c\n');
  expect(cuts).toMatchObject([{ start: 11, end: 19, rows: 2 }]);
});

test('rows of an array are cut where they end, however they arrive', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 12 }),
      sizes,
      async (rows, rowBytes, chunkRows, pieces) => {
        const bytes = Buffer.alloc(10 + rows * rowBytes, 'abcdefg');
        const cuts = await all(
          cutRows(inPieces(bytes, pieces), { headBytes: 10, rowBytes, rows, chunkRows }),
        );
        expect(cuts.reduce((sum, cut) => sum + cut.rows, 0)).toBe(rows);
        let at = 10;
        for (const { start, end, rows: own, sha256 } of cuts) {
          expect(start).toBe(at);
          expect(end - start).toBe(own * rowBytes);
          expect(sha256Of(bytes.subarray(start, end))).toBe(sha256);
          at = end;
        }
      },
    ),
    { numRuns: 200 },
  );
});

test('the front of an array is read back as it was written', () => {
  for (const shape of [[7], [3, 4], [0, 2, 5]])
    expect(readNpyHead(writeNpyHead('<f4', shape))).toEqual({ headBytes: 256, descr: '<f4', shape });
});

test.each([
  ['another file', Buffer.from('PK\x03\x04 and so on')],
  [
    'objects',
    Buffer.from(
      "\x93NUMPY\x01\x00\x40\x00{'descr': '|O', 'fortran_order': False, 'shape': (3,), }".padEnd(74),
      'latin1',
    ),
  ],
  [
    'columns first',
    Buffer.from(
      "\x93NUMPY\x01\x00\x40\x00{'descr': '<f4', 'fortran_order': True, 'shape': (3, 2), }".padEnd(74),
      'latin1',
    ),
  ],
])('%s is no array for us', (_what, bytes) => {
  expect(() => readNpyHead(bytes)).toThrow(expect.objectContaining({ code: 'batch_input_invalid' }));
});
