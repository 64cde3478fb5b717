import type { Bus } from '@millrace/bus';
import type { ResolvedVersion } from '@millrace/contracts';
import { type AppError, VERIFICATION_REFUSED_SUBJECT } from '@millrace/contracts';
import { isVerificationRefusal } from '@millrace/integrity';
import type { Metrics } from '@millrace/service-kit';

/** Counts the versions that are refused for their bytes or signature, and tells the registry, which keeps the facts. */
export function createRefusalReporter(
  bus: Bus,
  metrics: Metrics,
): (version: ResolvedVersion, error: AppError) => void {
  const failures = metrics.counter({
    name: 'verification_failures_total',
    help: 'Model versions that were not loaded because of their bytes or signature.',
    labels: ['code'],
  });
  return ({ modelVersionId }, error) => {
    if (!isVerificationRefusal(error)) return;
    const { code, message } = error;
    failures.inc({ code });
    if (!bus.isConnected()) return;
    bus.nc.publish(
      VERIFICATION_REFUSED_SUBJECT,
      JSON.stringify({ modelVersionId, error: { code, message } }),
    );
  };
}
