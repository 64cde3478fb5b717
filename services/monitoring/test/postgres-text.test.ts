import { expect, test } from '@jest/globals';
import { jsonText, plainText } from '../src/postgres-text.ts';

test.each([
  ['a NUL', { a: 'x\0y' }, { a: 'x\ufffdy' }],
  ['half a character', ['\ud800', 'a\udc00'], ['\ufffd', 'a\ufffd']],
  ['whole characters', ['😀', 'é'], ['😀', 'é']],
  ['a text that spells an escape', ['\\u0000', '\\\\u0000', '\\ud800'], ['\\u0000', '\\\\u0000', '\\ud800']],
  ['a NUL behind a backslash', ['\\\0'], ['\\\ufffd']],
])('JSON for Postgres: %s', (_what, value, stored) => {
  expect(JSON.parse(jsonText(value))).toEqual(stored);
});

test('text for Postgres has neither', () => {
  expect(plainText('a\0b\ud800c😀')).toBe('a\ufffdb\ufffdc😀');
});
