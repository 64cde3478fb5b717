import type { ErrorKind } from './error-kind.ts';

/** What can be wrong with references and reports of drift. */
export const driftErrors = {
  drift_reference_not_found: { status: 404, retryable: false, doc: 'No drift reference has this id.' },
  monitoring_busy: {
    status: 503,
    retryable: true,
    doc: 'As many comparisons as monitoring makes and queues are under way; wait for Retry-After seconds.',
  },
} as const satisfies Record<string, ErrorKind>;
