import type { Outbox } from '@millrace/bus';
import { DriftCleared, DriftDetected } from '@millrace/contracts';
import type { Database, Executor } from '@millrace/database';
import type { Logger } from '@millrace/service-kit';
import type { DriftAlarm } from './alarm.repository.ts';
import { keepAlarm, takeDueAlarm } from './alarm.repository.ts';
import { afterWindow } from './alarm-state.ts';
import type { ReferenceInfo } from './drift.repository.ts';
import type { DriftReport, DriftService } from './drift.service.ts';

/** How long after its end a window is judged: predictions may come late (ms). */
const LATE_MS = 60_000;
/** How often alarms are looked for that are due (ms). */
const POLL_MS = 15_000;
/** Windows that are made up for after an outage; older ones are left out. */
const WINDOWS_BEHIND_MAX = 3;
/** Checks that a fact names. */
const CHECKS_MAX = 20;
const ALPHA = 0.01;

type WatchOptions = {
  readonly database: Database;
  readonly outbox: Outbox;
  readonly drift: DriftService;
  readonly logger: Logger;
  /** Length of the windows that are judged one after the other. */
  readonly windowMs: number;
};

/** What both facts tell of the last window. */
function windowOf(alarm: DriftAlarm, report: DriftReport, reference: ReferenceInfo) {
  return {
    modelVersionId: alarm.modelVersionId,
    model: alarm.model,
    version: alarm.version,
    referenceId: reference.id,
    referenceDigest: reference.digest,
    startTime: new Date(report.startTime).toISOString(),
    endTime: new Date(report.endTime + 1).toISOString(),
    predictions: report.predictions,
  };
}

/** The checks that drifted, the largest effect beside its floor first. */
function driftedChecks({ features }: DriftReport) {
  const checks = features.flatMap(({ name: feature, checks: of }) =>
    of.filter(({ isDrifted }) => isDrifted).map((check) => ({ feature, ...check })),
  );
  return checks
    .sort((a, b) => b.effect / b.floor - a.effect / a.floor)
    .slice(0, CHECKS_MAX)
    .map(({ pValue: _p, method: _m, isSignificant: _s, isDrifted: _d, ...check }) => check);
}

/**
 * Judges the next window of one version that is due, if one is, and publishes an alarm that was raised or cleared in the
 * same transaction. False when none was due.
 */
export async function judgeNext(options: WatchOptions, now: Date): Promise<boolean> {
  const { database, outbox, drift, windowMs } = options;
  const endedBefore = new Date(now.getTime() - LATE_MS);
  return database.transaction(async (tx: Executor) => {
    const alarm = await takeDueAlarm(tx, { endedBefore, windowMs });
    if (alarm === undefined) return false;
    const oldest = endedBefore.getTime() - WINDOWS_BEHIND_MAX * windowMs;
    const startTime = Math.max(alarm.judgedUntil.getTime(), oldest);
    const end = new Date(startTime + windowMs);
    const { tenant, model, modelVersionId } = alarm;
    const report = await drift.reportOf(
      { tenant, model, modelVersionId },
      { startTime, endTime: end.getTime() - 1, alpha: ALPHA, statistic: 'psi' },
    );
    const next = { ...alarm, ...afterWindow(alarm, report.status), judgedUntil: end };
    await keepAlarm(tx, next);
    const { reference } = report;
    if (next.isRaised === alarm.isRaised || reference === null) return true;
    const window = windowOf(alarm, report, reference);
    if (next.isRaised) {
      const driftedFeatures = report.features.filter(({ status }) => status === 'drifted').length;
      const data = { ...window, driftedFeatures, checks: driftedChecks(report) };
      await outbox.append(tx, DriftDetected, modelVersionId, data, { tenant });
    } else await outbox.append(tx, DriftCleared, modelVersionId, window, { tenant });
    return true;
  });
}

/** Judges windows as they become due, every version with a reference, until it is stopped. */
export function startDriftWatch(options: WatchOptions): { stop(): Promise<void> } {
  let isStopped = false;
  let timer: NodeJS.Timeout | undefined;

  async function round(): Promise<void> {
    try {
      while (!isStopped && (await judgeNext(options, new Date())));
    } catch (error) {
      options.logger.warn({ err: error }, 'Drift could not be judged; trying again.');
    }
    if (isStopped) return;
    timer = setTimeout(() => {
      running = round();
    }, POLL_MS).unref();
  }

  let running = round();
  return {
    async stop() {
      isStopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}
