import type { RolloutReport, RolloutVersionCounts, ShadowCounts } from '@millrace/contracts';
import { bucketLatencyMs } from '@millrace/contracts';

/** Slots that a window is divided into: it is exact to this part of its length. */
const SLOTS = 30;
/** Processes that report on one rollout; the one heard longest ago is forgotten first. */
const SOURCES_MAX = 1_024;

/** Requests of one version, and the latencies of those that were answered. */
export type VersionCounts = { requests: number; errors: number; latencies: Map<number, number> };
type Slot = { startedAt: number; versions: Map<string, VersionCounts> };

export const noCounts = (): VersionCounts => ({ requests: 0, errors: 0, latencies: new Map() });

function add(total: VersionCounts, more: VersionCounts): void {
  total.requests += more.requests;
  total.errors += more.errors;
  for (const [bucket, count] of more.latencies)
    total.latencies.set(bucket, (total.latencies.get(bucket) ?? 0) + count);
}

function toCounts({ requests, errors, latencies }: RolloutVersionCounts): VersionCounts {
  return { requests, errors, latencies: new Map(latencies.map(({ bucket, count }) => [bucket, count])) };
}

function since(now: VersionCounts, before: VersionCounts): VersionCounts {
  const latencies = new Map(
    [...now.latencies].map(([bucket, count]) => [bucket, count - (before.latencies.get(bucket) ?? 0)]),
  );
  return { requests: now.requests - before.requests, errors: now.errors - before.errors, latencies };
}

/** Requests that were answered. */
export function answered({ latencies }: VersionCounts): number {
  let total = 0;
  for (const count of latencies.values()) total += count;
  return total;
}

/** The latency (ms) that a share `q` of the answers did not exceed, to 5 percent; null without answers. */
export function quantileMs(counts: VersionCounts, q: number): number | null {
  const rank = Math.ceil(answered(counts) * q);
  let seen = 0;
  for (const [bucket, count] of [...counts.latencies].sort(([a], [b]) => a - b)) {
    seen += count;
    if (seen >= rank && seen > 0) return bucketLatencyMs(bucket);
  }
  return null;
}

/** What all processes reported of one revision: in the window, and in all. */
export type RolloutWindow = {
  take(report: RolloutReport, now: number): void;
  /** Counts of the window by version. */
  counts(now: number): Map<string, VersionCounts>;
  /** Requests by version since the revision came into force. */
  totals(): Map<string, VersionCounts>;
  shadows(): ShadowCounts[];
  /** Processes heard of, and when the last one was (ms since 1970). */
  sources(): { count: number; lastAt: number | null };
};

/** Counts over the last `windowMs`. Reports are sums, so the window takes their growth. */
export function createRolloutWindow(windowMs: number): RolloutWindow {
  const slotMs = Math.max(1_000, windowMs / SLOTS);
  const latest = new Map<string, { counts: Map<string, VersionCounts>; shadow: ShadowCounts | undefined }>();
  let slots: Slot[] = [];
  let lastAt: number | null = null;

  function slotAt(now: number): Slot {
    const last = slots.at(-1);
    if (last !== undefined && now - last.startedAt < slotMs) return last;
    const fresh = { startedAt: now, versions: new Map() };
    slots.push(fresh);
    return fresh;
  }

  function drop(now: number): void {
    slots = slots.filter(({ startedAt }) => now - startedAt < windowMs);
  }

  return {
    take(report, now) {
      lastAt = now;
      drop(now);
      const known = latest.get(report.source)?.counts;
      const counts = new Map(report.versions.map((one) => [one.version, toCounts(one)]));
      latest.delete(report.source);
      latest.set(report.source, { counts, shadow: report.shadow });
      if (latest.size > SOURCES_MAX) latest.delete(latest.keys().next().value as string);
      // of a process that counted before this one listened, only what comes from now on lies in the window
      if (known === undefined && now - report.since > windowMs) return;
      const { versions } = slotAt(now);
      for (const [version, count] of counts) {
        const total = versions.get(version) ?? noCounts();
        add(total, since(count, known?.get(version) ?? noCounts()));
        versions.set(version, total);
      }
    },
    counts(now) {
      drop(now);
      const sum = new Map<string, VersionCounts>();
      for (const { versions } of slots)
        for (const [version, count] of versions) {
          const total = sum.get(version) ?? noCounts();
          add(total, count);
          sum.set(version, total);
        }
      return sum;
    },
    totals() {
      const sum = new Map<string, VersionCounts>();
      for (const { counts } of latest.values())
        for (const [version, count] of counts) {
          const total = sum.get(version) ?? noCounts();
          add(total, count);
          sum.set(version, total);
        }
      return sum;
    },
    shadows: () => [...latest.values()].map(({ shadow }) => shadow).filter((one) => one !== undefined),
    sources: () => ({ count: latest.size, lastAt }),
  };
}
