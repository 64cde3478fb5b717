import type { Bus } from '@millrace/bus';
import { RolloutReport, rolloutReportSubject } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { Logger, Metrics } from '@millrace/service-kit';
import { Compile } from 'typebox/compile';
import { isExposed, judge } from './canary.ts';
import type { RolloutRepository } from './rollout.repository.ts';
import type { RolloutService } from './rollout.service.ts';
import type { RolloutRow } from './rollout.table.ts';
import type { RolloutWindow } from './rollout-window.ts';
import { createRolloutWindow } from './rollout-window.ts';

/** How often canaries are judged (ms). */
const JUDGE_MS = 1_000;
/** Window of rollouts without a canary (s). */
const WINDOW_SECONDS_DEFAULT = 60;
/** Rollouts that are watched at once; the one heard of longest ago is forgotten first. */
const ROLLOUTS_MAX = 10_000;
/** A revision that this process does not know is looked up at most this often (ms). */
const LOOK_UP_MS = 1_000;

type Watched = { row: RolloutRow; window: RolloutWindow };

export type RolloutMonitor = {
  /** The window of a rollout at its present revision. */
  windowOf(row: RolloutRow): RolloutWindow;
  stop(): Promise<void>;
};

/** Length of the window of a rollout (s). */
export const windowSeconds = ({ spec }: RolloutRow): number =>
  spec.canary?.windowSeconds ?? WINDOW_SECONDS_DEFAULT;

/**
 * Adds up what every process of every replica of inference reports, and takes the weight of a canary that breaks its
 * bounds. Each replica of this service does so: the first to write the next revision wins, the others find it changed.
 */
export function startRolloutMonitor(options: {
  bus: Bus;
  database: Database;
  rollouts: RolloutRepository;
  service: RolloutService;
  metrics: Metrics;
  logger: Logger;
}): RolloutMonitor {
  const { database, rollouts, service, logger } = options;
  const validator = Compile(RolloutReport);
  const watched = new Map<string, Watched>();
  const lookedUp = new Map<string, number>();
  const rollbacks = options.metrics.counter({
    name: 'rollbacks_total',
    help: 'Canaries that lost their weight by themselves.',
    labels: ['model'],
  });
  let isJudging = false;
  let isStopped = false;

  function watch(row: RolloutRow): Watched {
    const held = watched.get(row.modelId);
    if (held !== undefined && held.row.revision >= row.revision) return held;
    const fresh = { row, window: createRolloutWindow(windowSeconds(row) * 1_000) };
    watched.delete(row.modelId);
    watched.set(row.modelId, fresh);
    if (watched.size > ROLLOUTS_MAX) watched.delete(watched.keys().next().value as string);
    return fresh;
  }

  async function lookUp(modelId: string): Promise<void> {
    const now = Date.now();
    if (now - (lookedUp.get(modelId) ?? 0) < LOOK_UP_MS) return;
    lookedUp.delete(modelId);
    lookedUp.set(modelId, now);
    if (lookedUp.size > ROLLOUTS_MAX) lookedUp.delete(lookedUp.keys().next().value as string);
    const row = await rollouts.find(database.db, modelId);
    if (row !== undefined) watch(row);
  }

  async function take(report: RolloutReport): Promise<void> {
    const known = watched.get(report.modelId)?.row.revision ?? 0;
    if (report.revision > known) await lookUp(report.modelId);
    const held = watched.get(report.modelId);
    if (held?.row.revision === report.revision) held.window.take(report, Date.now());
  }

  async function judgeAll(): Promise<void> {
    for (const [modelId, { row, window }] of watched) {
      const { canary } = row.spec;
      if (canary === undefined || !isExposed(row.spec)) continue;
      const verdict = judge(canary, window.counts(Date.now()));
      if (verdict.state !== 'broken') continue;
      const { revision } = row;
      if (await service.rollBack(modelId, revision, verdict.reason)) {
        rollbacks.inc({ model: modelId });
        logger.warn({ modelId, revision, reason: verdict.reason }, 'A canary was rolled back.');
      }
      const now = await rollouts.find(database.db, modelId);
      if (now === undefined) watched.delete(modelId);
      else watch(now);
    }
  }

  const subscription = options.bus.nc.subscribe(rolloutReportSubject('*'), {
    callback: (error, message) => {
      if (error !== null) return;
      try {
        const report: unknown = message.json();
        if (!validator.Check(report)) return;
        void take(report as RolloutReport).catch((cause: unknown) =>
          logger.warn({ err: cause }, 'A report on a rollout was not taken.'),
        );
      } catch {
        // no JSON: nothing of ours
      }
    },
  });
  const timer = setInterval(() => {
    if (isJudging || isStopped) return;
    isJudging = true;
    judgeAll()
      .catch((error: unknown) => logger.error({ err: error }, 'Canaries could not be judged.'))
      .finally(() => {
        isJudging = false;
      });
  }, JUDGE_MS);
  return {
    windowOf: (row) => watch(row).window,
    async stop() {
      isStopped = true;
      clearInterval(timer);
      subscription.unsubscribe();
    },
  };
}
