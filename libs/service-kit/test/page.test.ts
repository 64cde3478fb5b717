import { expect, test } from '@jest/globals';
import Type from 'typebox';
import { decodeCursor, encodeCursor, toPage } from '../src/index.ts';

const Key = Type.Tuple([Type.String(), Type.Integer()]);

test('a cursor comes back as it was; anything else is an invalid request', () => {
  expect(decodeCursor(Key, encodeCursor(['a', 1]))).toEqual(['a', 1]);
  expect(decodeCursor(Key, undefined)).toBeUndefined();
  for (const bad of ['', '***', encodeCursor(['a', 'b']), encodeCursor(null), 'e30']) {
    expect(() => decodeCursor(Key, bad)).toThrow(/cursor/);
  }
});

test('a page shows at most the limit and has a cursor only when there is more', () => {
  const rows = [1, 2, 3];
  const keyOf = (row: number) => ['k', row];
  expect(toPage(rows, 3, keyOf, String)).toEqual({ items: ['1', '2', '3'], nextCursor: null });
  const page = toPage(rows, 2, keyOf, String);
  expect(page.items).toEqual(['1', '2']);
  expect(decodeCursor(Key, page.nextCursor ?? '')).toEqual(['k', 2]);
});
