import { expect, test } from '@jest/globals';
import { matchesPattern } from '../../src/governance/policy.ts';

test.each<[string, string, boolean]>([
  ['champion', 'champion', true],
  ['champion', 'champion2', false],
  ['champ*', 'champ', true],
  ['*ion', 'champion', true],
  ['c*p*n', 'champion', true],
  ['c*p*n', 'champions', false],
  ['*', '', true],
  ['**a', 'bca', true],
  ['a.c', 'abc', false],
])('%s on %s: %s', (pattern, text, fits) => {
  expect(matchesPattern(pattern, text)).toBe(fits);
});

test('a pattern made to be slow is not', () => {
  const start = performance.now();
  expect(matchesPattern(`${'a*'.repeat(127)}b`, 'a'.repeat(255))).toBe(false);
  expect(performance.now() - start).toBeLessThan(50);
});
