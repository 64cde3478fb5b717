import { describe, expect, test } from '@jest/globals';
import type { RolloutPlan } from '@millrace/contracts';
import { ROLLOUT_BUCKETS } from '@millrace/contracts';
import type { Caller } from '../../src/rollouts/router.ts';
import { bucketOf, createRouter } from '../../src/rollouts/router.ts';

const SALT = '0190c0de-0000-7000-8000-000000000001';
/** A share of `n` draws is within this many standard deviations: a false alarm once in 10^6. */
const DEVIATIONS_MAX = 5;

const plan = (v2Percent: number, more: Partial<RolloutPlan> = {}): RolloutPlan => ({
  revision: 1,
  buckets: [
    { below: ROLLOUT_BUCKETS - v2Percent * 100, version: 'v1' },
    { below: ROLLOUT_BUCKETS, version: 'v2' },
  ],
  ...more,
});

function shareOf(version: string, versions: readonly (string | undefined)[]): number {
  return versions.filter((one) => one === version).length / versions.length;
}

function expectShare(share: number, expected: number, draws: number): void {
  const deviation = Math.sqrt((expected * (1 - expected)) / draws);
  expect(Math.abs(share - expected)).toBeLessThanOrEqual(DEVIATIONS_MAX * deviation);
}

describe('weights', () => {
  test.each([1, 10, 37, 50, 90])('%d percent of the keys, within binomial bounds', (percent) => {
    const router = createRouter(plan(percent, { sticky: { by: 'userId' } }), SALT);
    const users = Array.from({ length: 20_000 }, (_, i) => `user-${i}`);
    const versions = users.map((userId) => router.route({ userId }).version);
    expectShare(shareOf('v2', versions), percent / 100, users.length);
    // and each stays where it is
    expect(users.map((userId) => router.route({ userId }).version)).toEqual(versions);
  });

  test('chance divides callers without a key by the same weights', () => {
    const router = createRouter(plan(25, { sticky: { by: 'sessionId' } }), SALT);
    const routes = Array.from({ length: 20_000 }, () => router.route({ userId: 'no session' }));
    expectShare(
      shareOf(
        'v2',
        routes.map(({ version }) => version),
      ),
      0.25,
      routes.length,
    );
    expect(new Set(routes.map(({ by }) => by))).toEqual(new Set(['chance']));
  });

  test('a version of weight 0 gets nobody, one of 100 everybody', () => {
    const router = createRouter({ revision: 1, buckets: [{ below: ROLLOUT_BUCKETS, version: 'v1' }] }, SALT);
    expect(router.main).toBe('v1');
    for (let i = 0; i < 1_000; i += 1) expect(router.route({}).version).toBe('v1');
  });

  test('buckets are spread evenly, and differently in each model', () => {
    const keys = Array.from({ length: 20_000 }, (_, i) => `user-${i}`);
    const low = keys.filter((key) => bucketOf(SALT, key) < ROLLOUT_BUCKETS / 2);
    expectShare(low.length / keys.length, 0.5, keys.length);
    const both = low.filter((key) => bucketOf('another model', key) < ROLLOUT_BUCKETS / 2);
    expectShare(both.length / low.length, 0.5, low.length);
  });
});

describe('rules', () => {
  const rules = [
    { header: 'x-ring', equals: 'canary', version: 'v3' },
    { header: 'x-ring', prefix: 'can', version: 'v2' },
  ];
  const router = createRouter(plan(0, { rules, sticky: { by: 'header', header: 'x-account' } }), SALT);

  test.each<[Caller, string, string]>([
    [{ headers: { 'x-ring': 'canary' } }, 'v3', 'rule'],
    [{ headers: { 'x-ring': ['canary', 'other'] } }, 'v3', 'rule'],
    [{ headers: { 'x-ring': 'cannot' } }, 'v2', 'rule'],
    [{ headers: { 'x-ring': 'CANARY', 'x-account': 'a' } }, 'v1', 'sticky'],
    [{ headers: {} }, 'v1', 'chance'],
    [{}, 'v1', 'chance'],
  ])('%j goes to %s by %s', (caller, version, by) => {
    expect(router.route(caller)).toEqual({ version, by });
  });

  test('without weights the default answers what no rule takes', () => {
    const { route, main } = createRouter({ revision: 1, rules }, SALT);
    expect(route({ headers: {} })).toEqual({ version: undefined, by: 'default' });
    expect(main).toBeUndefined();
  });
});
