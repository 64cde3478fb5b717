import type { RolloutReport, ShadowCounts } from '@millrace/contracts';
import { latencyBucket, newId } from '@millrace/contracts';

type VersionTally = { requests: number; errors: number; latencies: Map<number, number> };

/** How the copy of a request ended. */
export type ShadowEnd = 'compared' | 'failed' | 'incomparable' | 'dropped';

/** Counts of one revision of a rollout in this process. */
export type RolloutTally = {
  readonly revision: number;
  /** When something was counted last (ms since 1970). */
  readonly changedAt: number;
  answered(version: string, latencyMs: number): void;
  failed(version: string): void;
  /** The counts of the shadow version, to be added to. */
  shadow(version: string): ShadowCounts;
  report(): RolloutReport;
};

/** `modelId` is the model's id; the counts begin at 0 and carry an id of their own. */
export function createRolloutTally(modelId: string, revision: number): RolloutTally {
  const source = newId();
  const since = Date.now();
  const versions = new Map<string, VersionTally>();
  let shadow: ShadowCounts | undefined;
  let changedAt = since;

  function of(version: string): VersionTally {
    changedAt = Date.now();
    let tally = versions.get(version);
    if (tally === undefined) {
      tally = { requests: 0, errors: 0, latencies: new Map() };
      versions.set(version, tally);
    }
    tally.requests += 1;
    return tally;
  }

  return {
    revision,
    get changedAt() {
      return changedAt;
    },
    answered(version, latencyMs) {
      const { latencies } = of(version);
      const bucket = latencyBucket(latencyMs);
      latencies.set(bucket, (latencies.get(bucket) ?? 0) + 1);
    },
    failed(version) {
      of(version).errors += 1;
    },
    shadow(version) {
      changedAt = Date.now();
      shadow ??= {
        version,
        offered: 0,
        compared: 0,
        failed: 0,
        incomparable: 0,
        dropped: 0,
        maxAbs: 0,
        meanAbsSum: 0,
        labels: 0,
        labelsEqual: 0,
      };
      return shadow;
    },
    report: () => ({
      source,
      modelId,
      revision,
      since,
      versions: [...versions].map(([version, { requests, errors, latencies }]) => ({
        version,
        requests,
        errors,
        latencies: [...latencies].map(([bucket, count]) => ({ bucket, count })),
      })),
      ...(shadow !== undefined && { shadow }),
    }),
  };
}
