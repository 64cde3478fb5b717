import { deadLetterHeaders } from '@millrace/bus';
import type { WireError } from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import { isVerificationCode } from '@millrace/integrity';
import type { JobRow } from './job.table.ts';
import type { JobServiceOptions } from './job-options.ts';

/** Tells of attempts and jobs that failed, in the transaction in which they do. */
export function createFailureFacts({
  service,
  kind,
  events,
  outbox,
}: Pick<JobServiceOptions, 'service' | 'kind' | 'events' | 'outbox'>) {
  return {
    /** The job failed for good: the fact, and a dead letter by which an operator can send it back. */
    async failed(tx: Executor, job: JobRow, error: WireError): Promise<void> {
      const { id: jobId, attempts: attempt, spec, tenant } = job;
      await outbox.append(tx, events.failed, jobId, { jobId, kind, attempt, spec, error }, { tenant });
      const consumer = `${service}-jobs`;
      await outbox.appendMessage(tx, {
        subject: `millrace.dlq.${consumer}`,
        type: events.retryRequested.type,
        aggregate: `${kind}-dead-letter`,
        aggregateId: jobId,
        data: { jobId },
        headers: deadLetterHeaders({
          consumer,
          subject: events.retryRequested.subject,
          code: error.code,
          message: error.message,
          deliveries: attempt,
        }),
      });
    },

    /** An attempt refused bytes for their digest or signature: a fact of its own, also where the job goes on. */
    async refused(tx: Executor, job: JobRow, error: WireError): Promise<void> {
      if (!isVerificationCode(error.code)) return;
      const { id: jobId, attempts: attempt, leaseOwner: workerId, spec, tenant } = job;
      const fact = { jobId, kind, attempt, workerId, spec, error };
      await outbox.append(tx, events.verificationFailed, jobId, fact, { tenant });
    },
  };
}
