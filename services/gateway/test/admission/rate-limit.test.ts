import { expect, test } from '@jest/globals';
import { createRateLimit } from '../../src/admission/rate-limit.ts';

test('a bucket holds two seconds of requests and fills at its rate', () => {
  let nowMs = 0;
  const take = createRateLimit({ perSecond: 10, nowMs: () => nowMs });
  for (let taken = 0; taken < 20; taken++) take('ann');
  expect(() => take('ann')).toThrow(/10 requests a second/);
  take('bob');
  nowMs = 100;
  take('ann');
  expect(() => take('ann')).toThrow();
  nowMs = 60_000;
  for (let taken = 0; taken < 20; taken++) take('ann');
  expect(() => take('ann')).toThrow();
});
