import type { RolloutPlan } from '@millrace/contracts';
import type { RolloutRow } from './rollout.table.ts';

/** What servers apply of a rollout. */
export function planOf({ revision, spec, buckets }: RolloutRow): RolloutPlan {
  const { sticky, rules, shadow, cache } = spec;
  return {
    revision,
    ...(buckets !== null && { buckets: [...buckets] }),
    ...(sticky !== undefined && { sticky }),
    ...(rules !== undefined && { rules }),
    ...(shadow !== undefined && { shadow }),
    ...(cache !== undefined && { cache }),
  };
}
