import { expect, test } from '@jest/globals';
import { createToldLately } from '../../src/verification/told-lately.ts';

test('the same is new once in a while, and again when it was not told after all', () => {
  let now = 0;
  const told = createToldLately({ everyMs: 1_000, rememberedMax: 100, nowMs: () => now });
  expect([told.isNew('a'), told.isNew('a'), told.isNew('b')]).toEqual([true, false, true]);
  told.forget('b');
  now = 999;
  expect([told.isNew('a'), told.isNew('b')]).toEqual([false, true]);
  now = 1_000;
  expect([told.isNew('a'), told.isNew('b')]).toEqual([true, false]);
});

test('only so many are remembered; the one told longest ago is new first', () => {
  const told = createToldLately({ everyMs: 1_000, rememberedMax: 2, nowMs: () => 0 });
  for (const what of ['a', 'b', 'c']) told.isNew(what);
  expect([told.isNew('c'), told.isNew('b'), told.isNew('a')]).toEqual([false, false, true]);
});
