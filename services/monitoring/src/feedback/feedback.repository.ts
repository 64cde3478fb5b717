import type { Database } from '@millrace/database';
import { toDatabaseError } from '@millrace/database';

export type Feedback = {
  inferenceId: string;
  tenant: string;
  outcome: unknown;
  correct: boolean | null;
  principal: string;
};
export type UnmatchedFeedback = {
  inferenceId: string;
  outcome: unknown;
  correct: boolean | null;
  receivedAt: Date;
};

export type FeedbackRepository = {
  /** Keeps the newest feedback of an inference as its outcome and all of them as history. */
  record(feedback: Feedback): Promise<void>;
  /** Feedback of a tenant older than `hours` whose prediction is not there, oldest first. */
  listUnmatched(tenant: string, hours: number, limit: number): Promise<UnmatchedFeedback[]>;
};

const RECORD = `
  with added as (
    insert into monitoring.feedback_history (inference_id, outcome, correct, principal, tenant)
    values ($1, $2, $3, $4, $5)
  )
  insert into monitoring.feedback as f (inference_id, outcome, correct, tenant, is_matched)
  values ($1, $2, $3, $5, exists (select 1 from monitoring.predictions p where p.id = $1 and p.tenant = $5))
  on conflict (inference_id, tenant) do update set
    outcome = excluded.outcome, correct = excluded.correct, received_at = now(),
    is_matched = f.is_matched or excluded.is_matched`;

// The mark may lag behind when feedback and prediction are stored in the same moment, so the rows decide.
const UNMATCHED = `
  select f.inference_id as "inferenceId", f.outcome, f.correct, f.received_at as "receivedAt"
  from monitoring.feedback f
  where not f.is_matched and f.tenant = $3 and f.received_at < now() - make_interval(secs => $1)
    and not exists (
      select 1 from monitoring.predictions p where p.id = f.inference_id and p.tenant = f.tenant
    )
  order by f.received_at limit $2`;

/** Feedback in Postgres. Throws `database_unavailable` while it is away. */
export function createFeedbackRepository({ pool }: Database): FeedbackRepository {
  const failed = (error: unknown): never => {
    throw toDatabaseError(error);
  };
  return {
    async record({ inferenceId, tenant, outcome, correct, principal }) {
      const values = [inferenceId, JSON.stringify(outcome), correct, principal, tenant];
      await pool.query(RECORD, values).catch(failed);
    },
    async listUnmatched(tenant, hours, limit) {
      const values = [hours * 3600, limit, tenant];
      const { rows } = await pool.query<UnmatchedFeedback>(UNMATCHED, values).catch(failed);
      return rows;
    },
  };
}
