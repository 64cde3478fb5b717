import { expect, test } from '@jest/globals';
import { createTenantQuotas } from '../../src/admission/tenant-quotas.ts';

test('a rate holds two seconds of requests, says what is left, and follows its bound at once', () => {
  let nowMs = 0;
  const limits: Record<string, object> = { acme: { requestsPerSecond: 5 } };
  const quotas = createTenantQuotas({ limitsOf: (tenant) => limits[tenant], nowMs: () => nowMs });
  const take = () => quotas.enter('acme');
  expect(take()).toEqual({ limit: 5, remaining: 9, resetSeconds: 1 });
  for (let taken = 1; taken < 10; taken += 1) take();
  expect(take).toThrow(/5 requests a second/);
  expect(quotas.enter('other')).toBeUndefined();
  nowMs = 200;
  expect(take()).toMatchObject({ remaining: 0 });
  limits.acme = { requestsPerSecond: 100 };
  nowMs = 300;
  for (let taken = 0; taken < 10; taken += 1) take();
  limits.acme = {};
  for (let taken = 0; taken < 50; taken += 1) expect(take()).toBeUndefined();
});

test('open requests are counted, and each that ends lets another in', () => {
  const quotas = createTenantQuotas({ limitsOf: () => ({ concurrentRequests: 2 }) });
  quotas.enter('acme');
  quotas.enter('acme');
  expect(() => quotas.enter('acme')).toThrow(/2 requests open/);
  expect(quotas.concurrent('acme')).toBe(2);
  quotas.leave('acme');
  quotas.enter('acme');
  quotas.leave('acme');
  quotas.leave('acme');
  expect(quotas.concurrent('acme')).toBe(0);
});
