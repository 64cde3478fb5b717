import type { Bus } from '@millrace/bus';
import { rolloutReportSubject } from '@millrace/contracts';
import type { Metrics } from '@millrace/service-kit';
import type { ModelStore } from '../models/model-store.ts';
import type { VersionResolver } from '../models/version-resolver.ts';
import type { Withdrawals } from '../server/withdrawals.ts';
import { createRolloutReporter } from './rollout-reporter.ts';
import type { Rollouts } from './rollouts.ts';
import { createRollouts, createShadowMetrics } from './rollouts.ts';
import { createShadow } from './shadow.ts';

/** Starts what applies rollouts here and reports on them; `stop` sends the last counts. */
export function startRollouts(deps: {
  bus: Bus;
  metrics: Metrics;
  resolver: VersionResolver;
  store: ModelStore;
  withdrawals: Withdrawals;
  rowsMax: number;
}): Rollouts & { stop(): void } {
  const { bus, metrics } = deps;
  const reporter = createRolloutReporter((report) => {
    if (bus.isConnected()) bus.nc.publish(rolloutReportSubject(report.modelId), JSON.stringify(report));
  });
  const shadow = createShadow({ ...deps, metrics: createShadowMetrics(metrics) });
  return { ...createRollouts({ reporter, shadow, metrics }), stop: () => reporter.stop() };
}
