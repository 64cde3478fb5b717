import type { Database } from '@millrace/database';
import { toDatabaseError } from '@millrace/database';
import type { PoolClient } from 'pg';
import { inTransaction } from '../in-transaction.ts';
import { jsonText } from '../postgres-text.ts';
import { keptSince } from '../rollups/time-cover.ts';
import type { VersionVerdict } from './feedback-match.ts';
import { addVerdicts, matchFeedback, matchWithin } from './feedback-match.ts';

export type Feedback = { inferenceId: string; outcome: unknown; correct: boolean | null };
/** Who says it, and for whom. */
export type FeedbackSource = { tenant: string; principal: string };
export type UnmatchedFeedback = {
  inferenceId: string;
  outcome: unknown;
  correct: boolean | null;
  receivedAt: Date;
};

/** What became of one feedback. */
export type RecordedFeedback = {
  inferenceId: string;
  /** `expired`: the prediction is past the retention, and nothing was changed. */
  state: 'recorded' | 'corrected' | 'duplicate' | 'expired';
  /** Its prediction is there. */
  isMatched: boolean;
  /** `correct` says something else than outcome and prediction do. */
  isContradictory: boolean;
};

export type FeedbackRepository = {
  /**
   * Keeps the newest feedback of each inference as its outcome and all of them as history, and counts what it says of
   * predictions that are there. No inference may occur twice.
   */
  record(source: FeedbackSource, items: readonly Feedback[]): Promise<RecordedFeedback[]>;
  /** Feedback of a tenant older than `hours` whose prediction is not there, oldest first. */
  listUnmatched(tenant: string, hours: number, limit: number): Promise<UnmatchedFeedback[]>;
};

/** Feedback of an inference that was there before. */
type Existing = {
  id: string;
  isSame: boolean;
  isMatched: boolean;
  correct: boolean | null;
  at: Date | null;
  stage: string;
  modelVersionId: string;
  model: string;
  version: string;
};

const ITEMS = 'unnest($2::uuid[], $3::text[], $4::boolean[]) as i(id, outcome, correct)';

const INSERT = `
  insert into monitoring.feedback (tenant, inference_id, outcome, correct)
  select $1, i.id, i.outcome::jsonb, i.correct from ${ITEMS} order by i.id
  on conflict do nothing returning inference_id as id`;

const EXISTING = `
  select f.inference_id as id, f.is_matched as "isMatched", f.correct, f.prediction_at as at, f.stage,
    f.model_version_id as "modelVersionId", f.model, f.version,
    f.outcome is not distinct from i.outcome::jsonb and f.correct is not distinct from i.correct as "isSame"
  from monitoring.feedback f join ${ITEMS} on i.id = f.inference_id
  where f.tenant = $1 order by f.inference_id for update of f`;

const CORRECT = `
  update monitoring.feedback f set outcome = i.outcome::jsonb, correct = i.correct, received_at = now(),
    is_matched = false, is_contradictory = false
  from ${ITEMS} where f.tenant = $1 and f.inference_id = i.id`;

const HISTORY = `
  insert into monitoring.feedback_history (tenant, inference_id, outcome, correct, principal)
  select $1, i.id, i.outcome::jsonb, i.correct, $5 from ${ITEMS}`;

const STATES = `
  select inference_id as id, is_matched as "isMatched", is_contradictory as "isContradictory"
  from monitoring.feedback where tenant = $1 and inference_id = any($2)`;

// A process that ended between storing and joining leaves rows unmarked until they are joined again, so the rows decide.
const UNMATCHED = `
  select f.inference_id as "inferenceId", f.outcome, f.correct, f.received_at as "receivedAt"
  from monitoring.feedback f
  where not f.is_matched and f.tenant = $3 and f.received_at < now() - make_interval(secs => $1)
    and not exists (
      select 1 from monitoring.predictions p where p.id = f.inference_id and p.tenant = f.tenant
    )
  order by f.received_at limit $2`;

const columns = (items: readonly Feedback[]): unknown[] => [
  items.map(({ inferenceId }) => inferenceId),
  items.map(({ outcome }) => jsonText(outcome)),
  items.map(({ correct }) => correct),
];

/** The verdict that earlier feedback gave, taken back. */
function takenBack({ at, correct, isMatched, ...version }: Existing): VersionVerdict[] {
  if (!isMatched || correct === null || at === null) return [];
  return [{ ...version, at: at.getTime(), isCorrect: correct, sign: -1 }];
}

/** Feedback in Postgres. Throws `database_unavailable` while it is away. */
export function createFeedbackRepository(database: Database, retentionDays: number): FeedbackRepository {
  const failed = (error: unknown): never => {
    throw toDatabaseError(error);
  };

  /** The state of each item; writes those that say something new. */
  async function write(
    client: PoolClient,
    { tenant, principal }: FeedbackSource,
    items: readonly Feedback[],
  ): Promise<Map<string, RecordedFeedback['state']>> {
    const inserted = await client.query<{ id: string }>(INSERT, [tenant, ...columns(items)]);
    const states = new Map<string, RecordedFeedback['state']>();
    for (const { id } of inserted.rows) states.set(id, 'recorded');
    const known = items.filter(({ inferenceId }) => !states.has(inferenceId));
    const corrected: Existing[] = [];
    if (known.length > 0) {
      const { rows } = await client.query<Existing>(EXISTING, [tenant, ...columns(known)]);
      const oldest = keptSince(Date.now(), retentionDays);
      for (const row of rows) {
        const isGone = row.isMatched && row.at !== null && row.at.getTime() < oldest;
        states.set(row.id, row.isSame ? 'duplicate' : isGone ? 'expired' : 'corrected');
        if (states.get(row.id) === 'corrected') corrected.push(row);
      }
    }
    const ofState = (...wanted: string[]): Feedback[] =>
      items.filter(({ inferenceId }) => wanted.includes(states.get(inferenceId) ?? ''));
    const changed = ofState('recorded', 'corrected');
    if (corrected.length > 0) await client.query(CORRECT, [tenant, ...columns(ofState('corrected'))]);
    if (changed.length === 0) return states;
    await client.query(HISTORY, [tenant, ...columns(changed), principal]);
    const ids = changed.map(({ inferenceId }) => inferenceId);
    const { verdicts } = await matchWithin(client, tenant, ids);
    await addVerdicts(client, tenant, [...corrected.flatMap(takenBack), ...verdicts]);
    return states;
  }

  return {
    async record(source, items) {
      const states = await inTransaction(database, (client) => write(client, source, items));
      const ids = items.map(({ inferenceId }) => inferenceId);
      await matchFeedback(database, source.tenant, ids);
      const { rows } = await database.pool
        .query<Pick<RecordedFeedback, 'isMatched' | 'isContradictory'> & { id: string }>(STATES, [
          source.tenant,
          ids,
        ])
        .catch(failed);
      const byId = new Map(rows.map(({ id, ...state }) => [id, state]));
      return ids.map((inferenceId) => ({
        inferenceId,
        state: states.get(inferenceId) ?? 'duplicate',
        isMatched: byId.get(inferenceId)?.isMatched ?? false,
        isContradictory: byId.get(inferenceId)?.isContradictory ?? false,
      }));
    },
    async listUnmatched(tenant, hours, limit) {
      const values = [hours * 3600, limit, tenant];
      const { rows } = await database.pool.query<UnmatchedFeedback>(UNMATCHED, values).catch(failed);
      return rows;
    },
  };
}
