import { expect, test } from '@jest/globals';
import type { BucketRange, RolloutWeight } from '@millrace/contracts';
import { ROLLOUT_BUCKETS } from '@millrace/contracts';
import { assignBuckets, bucketCounts } from '../../src/rollouts/buckets.ts';

function owners(ranges: readonly BucketRange[]): string[] {
  return Array.from(
    { length: ROLLOUT_BUCKETS },
    (_, bucket) => ranges.find(({ below }) => bucket < below)?.version ?? 'nobody',
  );
}

/** A generator that repeats: the same weights are tried in every run. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function randomWeights(random: () => number): RolloutWeight[] {
  const versions = ['v1', 'v2', 'v3', 'v4', 'v5'].filter(() => random() < 0.7);
  if (versions.length === 0) versions.push('v1');
  let left = ROLLOUT_BUCKETS;
  return versions.map((version, i) => {
    const count = i === versions.length - 1 ? left : Math.floor(random() * (left + 1));
    left -= count;
    return { version, weight: count / 100 };
  });
}

test('every version has exactly its share, whatever came before', () => {
  const random = createRandom(7);
  let ranges: BucketRange[] | null = null;
  for (let i = 0; i < 60; i += 1) {
    const weights = randomWeights(random);
    ranges = assignBuckets(weights, ranges);
    const all = owners(ranges);
    for (const [version, count] of bucketCounts(weights))
      expect(all.filter((owner) => owner === version)).toHaveLength(count);
    expect(all).not.toContain('nobody');
  }
});

test('a change of weights moves as many buckets as the weights changed, and no more', () => {
  const random = createRandom(11);
  let before = randomWeights(random);
  let ranges = assignBuckets(before, null);
  for (let i = 0; i < 60; i += 1) {
    const weights = randomWeights(random);
    const next = assignBuckets(weights, ranges);
    const [had, has] = [bucketCounts(before), bucketCounts(weights)];
    let growth = 0;
    for (const [version, count] of has) growth += Math.max(0, count - (had.get(version) ?? 0));
    const [old, fresh] = [owners(ranges), owners(next)];
    expect(old.filter((owner, bucket) => owner !== fresh[bucket])).toHaveLength(growth);
    [before, ranges] = [weights, next];
  }
});

test('equal weights move nothing, in any order', () => {
  const weights = [
    { version: 'v1', weight: 62.5 },
    { version: 'v2', weight: 37.5 },
  ];
  const ranges = assignBuckets(weights, null);
  expect(assignBuckets([...weights].reverse(), ranges)).toEqual(ranges);
});
