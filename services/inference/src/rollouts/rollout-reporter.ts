import type { RolloutReport } from '@millrace/contracts';
import type { RolloutTally } from './rollout-tally.ts';
import { createRolloutTally } from './rollout-tally.ts';

/** How often counts that changed are reported, and those that did not (ms). */
const REPORT_MS = 1_000;
const REPEAT_MS = 10_000;
/** Counts of a rollout that nobody uses are dropped after this (ms). */
const IDLE_MS = 10 * 60_000;
/** Rollouts that are counted at once; the one begun longest ago leaves first. */
const TALLIES_MAX = 10_000;

type Entry = { tally: RolloutTally; sentAt: number };

export type RolloutReporter = {
  /** The counts of a revision; undefined when a newer one is in force already. */
  tally(modelId: string, revision: number): RolloutTally | undefined;
  stop(): void;
};

/** Counts what rollouts do here and reports it every second. `send` may drop a report: the next one has its counts too. */
export function createRolloutReporter(send: (report: RolloutReport) => void): RolloutReporter {
  const entries = new Map<string, Entry>();

  function reportAll(): void {
    const now = Date.now();
    for (const [modelId, entry] of entries) {
      const { tally, sentAt } = entry;
      if (now - tally.changedAt > IDLE_MS) {
        entries.delete(modelId);
        continue;
      }
      if (tally.changedAt < sentAt && now - sentAt < REPEAT_MS) continue;
      entry.sentAt = now;
      send(tally.report());
    }
  }

  const timer = setInterval(reportAll, REPORT_MS).unref();
  return {
    tally(modelId, revision) {
      const held = entries.get(modelId)?.tally;
      if (held !== undefined && held.revision >= revision)
        return held.revision === revision ? held : undefined;
      const tally = createRolloutTally(modelId, revision);
      entries.delete(modelId);
      entries.set(modelId, { tally, sentAt: 0 });
      if (entries.size > TALLIES_MAX) entries.delete(entries.keys().next().value as string);
      return tally;
    },
    stop() {
      clearInterval(timer);
      reportAll();
    },
  };
}
