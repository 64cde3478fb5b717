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

/** What became of a file of the node cache that was not what was signed: a good copy came, or none did. */
export type RottenFileOutcome = 'healed' | 'refused';

/** Counts files of the node cache that were not what was signed. */
export function countRottenFiles(metrics: Metrics): (outcome: RottenFileOutcome) => void {
  const files = metrics.counter({
    name: 'cache_rotten_files_total',
    help: 'Loads that found files of the node cache changed: healed by the copy in the object store, or refused.',
    labels: ['outcome'],
  });
  return (outcome) => files.inc({ outcome });
}
