import type { Database } from '@millrace/database';
import { toDatabaseError } from '@millrace/database';

export type Feedback = { inferenceId: string; outcome: unknown; correct: boolean | null; principal: string };
export type UnmatchedFeedback = {
  inferenceId: string;
  outcome: unknown;
  correct: boolean | null;
  receivedAt: Date;
};

export type FeedbackRepository = {
  /** Keeps the newest feedback of an inference as its outcome and all of them as history. */
  record(feedback: Feedback): Promise<void>;
  /** Feedback older than `hours` whose prediction is not there, oldest first. */
  listUnmatched(hours: number, limit: number): Promise<UnmatchedFeedback[]>;
};

const RECORD = `
  with added as (
    insert into monitoring.feedback_history (inference_id, outcome, correct, principal) values ($1, $2, $3, $4)
  )
  insert into monitoring.feedback as f (inference_id, outcome, correct, is_matched)
  values ($1, $2, $3, exists (select 1 from monitoring.predictions p where p.id = $1))
  on conflict (inference_id) do update set
    outcome = excluded.outcome, correct = excluded.correct, received_at = now(),
    is_matched = f.is_matched or excluded.is_matched`;

// The mark may lag behind when feedback and prediction are stored in the same moment, so the rows decide.
const UNMATCHED = `
  select f.inference_id as "inferenceId", f.outcome, f.correct, f.received_at as "receivedAt"
  from monitoring.feedback f
  where not f.is_matched and f.received_at < now() - make_interval(secs => $1)
    and not exists (select 1 from monitoring.predictions p where p.id = f.inference_id)
  order by f.received_at limit $2`;

/** Feedback in Postgres. Throws `database_unavailable` while it is away. */
export function createFeedbackRepository({ pool }: Database): FeedbackRepository {
  const failed = (error: unknown): never => {
    throw toDatabaseError(error);
  };
  return {
    async record({ inferenceId, outcome, correct, principal }) {
      await pool.query(RECORD, [inferenceId, JSON.stringify(outcome), correct, principal]).catch(failed);
    },
    async listUnmatched(hours, limit) {
      const { rows } = await pool.query<UnmatchedFeedback>(UNMATCHED, [hours * 3600, limit]).catch(failed);
      return rows;
    },
  };
}
