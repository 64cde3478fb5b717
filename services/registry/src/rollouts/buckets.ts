import type { BucketRange, RolloutWeight } from '@millrace/contracts';
import { ROLLOUT_BUCKETS } from '@millrace/contracts';

/** Buckets of each version, in whole buckets. The weights add up to 100. */
export function bucketCounts(weights: readonly RolloutWeight[]): Map<string, number> {
  return new Map(
    weights.map(({ version, weight }) => [version, Math.round(weight * (ROLLOUT_BUCKETS / 100))]),
  );
}

function ownersOf(ranges: readonly BucketRange[]): (string | undefined)[] {
  const owners = new Array<string | undefined>(ROLLOUT_BUCKETS);
  let at = 0;
  for (const { below, version } of ranges) {
    owners.fill(version, at, below);
    at = below;
  }
  return owners;
}

function rangesOf(owners: readonly (string | undefined)[]): BucketRange[] {
  const ranges: BucketRange[] = [];
  for (const [bucket, version] of owners.entries()) {
    const last = ranges.at(-1);
    if (last !== undefined && last.version === version) last.below = bucket + 1;
    else ranges.push({ below: bucket + 1, version: version as string });
  }
  return ranges;
}

/**
 * Gives each version its share of the buckets. A version keeps what it had as far as its weight allows, so only as many
 * buckets move as the weights changed, which is the least that can move.
 */
export function assignBuckets(
  weights: readonly RolloutWeight[],
  before: readonly BucketRange[] | null,
): BucketRange[] {
  const left = bucketCounts(weights);
  const owners = ownersOf(before ?? []);
  const take = (version: string): boolean => {
    const count = left.get(version) ?? 0;
    if (count > 0) left.set(version, count - 1);
    return count > 0;
  };
  for (const [bucket, version] of owners.entries())
    if (version === undefined || !take(version)) owners[bucket] = undefined;
  const takers = weights.flatMap(({ version }) => Array<string>(left.get(version) ?? 0).fill(version));
  for (const [bucket, version] of owners.entries())
    if (version === undefined) owners[bucket] = takers.shift();
  return rangesOf(owners);
}
