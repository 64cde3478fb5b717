import { expect, test } from '@jest/globals';
import type { ChainRow } from '../src/index.ts';
import { CHAIN_GENESIS, chainHash, verifyChain } from '../src/index.ts';
import { thrown } from './thrown.ts';

function chain(length: number): ChainRow[] {
  const rows: ChainRow[] = [];
  for (let i = 0; i < length; i += 1) {
    const prevHash = rows.at(-1)?.hash ?? CHAIN_GENESIS;
    const entry = { action: 'stage', version: i, by: 'anna' };
    rows.push({ prevHash, entry, hash: chainHash(prevHash, entry) });
  }
  return rows;
}

test('a whole chain verifies at once and in pieces', () => {
  const rows = chain(10);
  const { head } = verifyChain(rows);
  expect(head).toBe(rows[9]?.hash);
  const half = verifyChain(rows.slice(0, 5));
  expect(verifyChain(rows.slice(5), { after: half.head, head })).toEqual({ head, length: 5 });
  expect(verifyChain([])).toEqual({ head: CHAIN_GENESIS, length: 0 });
});

test('the order of keys that a database returns does not matter', () => {
  const rows = chain(2).map((row) => ({
    ...row,
    entry: Object.fromEntries(Object.entries(row.entry).reverse()),
  }));
  expect(verifyChain(rows).length).toBe(2);
});

const tampered: [string, (rows: ChainRow[]) => ChainRow[], number][] = [
  ['a changed entry', (rows) => rows.with(3, { ...(rows[3] as ChainRow), entry: { action: 'none' } }), 3],
  ['a removed row', (rows) => rows.toSpliced(3, 1), 3],
  ['a removed first row', (rows) => rows.slice(1), 0],
  ['two swapped rows', (rows) => rows.with(3, rows[4] as ChainRow).with(4, rows[3] as ChainRow), 3],
  ['a repeated row', (rows) => rows.toSpliced(3, 0, rows[3] as ChainRow), 4],
  ['an edited hash', (rows) => rows.with(3, { ...(rows[3] as ChainRow), hash: 'f'.repeat(64) }), 3],
];

test.each(tampered)('%s is found and its place named', (_name, tamper, index) => {
  const error = thrown(() => verifyChain(tamper(chain(10))));
  expect(error).toMatchObject({ code: 'log_chain_broken', details: { index } });
});

test('rows cut from the end are found when the head was noted elsewhere', () => {
  const rows = chain(10);
  const { head } = verifyChain(rows);
  expect(thrown(() => verifyChain(rows.slice(0, 9), { head })).details).toEqual({ index: 9 });
});
