import type { RolloutCanary, RolloutSpec } from '@millrace/contracts';
import type { VersionCounts } from './rollout-window.ts';
import { answered, noCounts, quantileMs } from './rollout-window.ts';

const QUANTILES = { p95: 0.95, p99: 0.99 } as const;

/** What the window says of a canary: `broken` has the sentence that goes into the rollback. */
export type Verdict =
  | { readonly state: 'waiting' | 'healthy' }
  | { readonly state: 'broken'; readonly reason: string };

const percent = (share: number): string => `${(share * 100).toFixed(2)} %`;
const errorRate = ({ requests, errors }: VersionCounts): number => (requests === 0 ? 0 : errors / requests);

/** Whether requests that name no version can reach the canary. */
export function isExposed({ canary, weights = [], rules = [] }: RolloutSpec): boolean {
  if (canary === undefined) return false;
  const isWeighted = weights.some(({ version, weight }) => version === canary.version && weight > 0);
  return isWeighted || rules.some(({ version }) => version === canary.version);
}

/** Compares a canary with its baseline. Errors of a baseline without requests count as none. */
export function judge(canary: RolloutCanary, counts: ReadonlyMap<string, VersionCounts>): Verdict {
  const { version, baseline, minRequests, errorRateIncreaseMax, latency } = canary;
  const own = counts.get(version) ?? noCounts();
  const other = counts.get(baseline) ?? noCounts();
  if (own.requests < minRequests) return { state: 'waiting' };
  const rates = { own: errorRate(own), other: errorRate(other) };
  if (errorRateIncreaseMax !== undefined && rates.own - rates.other > errorRateIncreaseMax) {
    return {
      state: 'broken',
      reason: `${percent(rates.own)} of ${own.requests} requests to ${version} failed, ${percent(rates.other)} of ${other.requests} to ${baseline}; ${percent(errorRateIncreaseMax)} more were allowed.`,
    };
  }
  if (latency === undefined || Math.min(answered(own), answered(other)) < minRequests)
    return { state: errorRateIncreaseMax === undefined ? 'waiting' : 'healthy' };
  const q = QUANTILES[latency.quantile];
  const [ownMs, otherMs] = [quantileMs(own, q) ?? 0, quantileMs(other, q) ?? 0];
  if (ownMs <= otherMs * latency.ratioMax) return { state: 'healthy' };
  return {
    state: 'broken',
    reason: `The ${latency.quantile} of ${version} is ${ownMs.toFixed(2)} ms, that of ${baseline} ${otherMs.toFixed(2)} ms; at most ${latency.ratioMax} times as much was allowed.`,
  };
}
