import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createFigureShelf } from '../../src/engine/figure-shelf.ts';
import type { ProbeReply } from '../../src/engine/probe.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'figure-shelf-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const reply = (rowMs: number): ProbeReply => ({
  signature: { inputs: [], outputs: [] },
  loadMs: 1,
  isUnbounded: false,
  residentBytes: 2,
  measurement: {
    rowMs,
    batchMs: null,
    batchRows: 8,
    isBatched: false,
    isPaired: false,
    rowsJoinedMax: 1,
    batchReason: 'the first dimension of an input or output is not free',
    warmUpMs: 3,
    residentBytes: 4,
  },
});
const onlyFile = (): string => {
  const [name, ...others] = readdirSync(folder);
  expect(others).toEqual([]);
  return join(folder, name ?? '');
};

test('figures outlast the process, each graph and way to run it its own', async () => {
  const first = createFigureShelf(folder);
  await first.write('graph,1,0', reply(0.5));
  await first.write('graph,2,0', reply(0.25));
  const later = createFigureShelf(folder);
  expect(await later.read('graph,1,0')).toEqual(reply(0.5));
  expect(await later.read('graph,2,0')).toEqual(reply(0.25));
  expect(await later.read('other,1,0')).toBeUndefined();
});

test('what is cut short, of something else or a day old is measured again', async () => {
  const shelf = createFigureShelf(folder);
  await shelf.write('graph', reply(0.5));
  const file = onlyFile();
  const text = readFileSync(file, 'utf8');

  writeFileSync(file, text.slice(0, -9));
  expect(await shelf.read('graph')).toBeUndefined();
  writeFileSync(file, text.replace('"key":"', '"key":"x'));
  expect(await shelf.read('graph')).toBeUndefined();
  writeFileSync(file, text);
  expect(await shelf.read('graph')).toEqual(reply(0.5));
  const dayAgo = Date.now() / 1000 - 24 * 60 * 60 - 60;
  utimesSync(file, dayAgo, dayAgo);
  expect(await shelf.read('graph')).toBeUndefined();
  await shelf.write('graph', reply(0.75));
  expect(await shelf.read('graph')).toEqual(reply(0.75));
});

test('a folder that cannot be written costs a measurement, not the load', async () => {
  const shelf = createFigureShelf(join(folder, 'file', 'figures'));
  writeFileSync(join(folder, 'file'), '');
  await shelf.write('graph', reply(0.5));
  expect(await shelf.read('graph')).toBeUndefined();
});
