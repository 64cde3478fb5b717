import { newId } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { toDatabaseError } from '@millrace/database';
import type { PoolClient } from 'pg';
import { inTransaction } from '../in-transaction.ts';
import { plainText } from '../postgres-text.ts';
import { ERASURE_LOCK, userDigest } from './erased-users.ts';

/** Predictions removed in one transaction. */
const CHUNK = 5_000;

export type Erasure = {
  id: string;
  userDigest: string;
  principal: string;
  predictions: number;
  feedback: number;
  erasedAt: Date;
};

/** Place of an erasure in the order of all, the newest first. */
export type ErasurePlace = readonly [erasedAt: string, id: string];

export type FeedbackEntry = {
  inferenceId: string;
  outcome: unknown;
  correct: boolean | null;
  receivedAt: Date;
};

export type ErasureRepository = {
  /**
   * Removes predictions and feedback of a user, in at most `chunks` steps, and keeps who did it. Predictions made until
   * now that come later are not stored any more. `isComplete` is false where more is left.
   */
  erase(
    who: { tenant: string; userId: string; principal: string },
    chunks: number,
  ): Promise<Erasure & { isComplete: boolean }>;
  /** Erasures of a tenant, the newest first. */
  list(tenant: string, limit: number, after?: ErasurePlace): Promise<Erasure[]>;
  /** All feedback of these predictions, the corrected ones too, oldest first. */
  feedbackOf(tenant: string, inferenceIds: readonly string[]): Promise<FeedbackEntry[]>;
};

const COLUMNS = `id, user_digest as "userDigest", principal, predictions::float8, feedback::float8,
  erased_at as "erasedAt"`;

const OF_USER = `
  select id, at::text as at from monitoring.predictions where tenant = $1 and user_id = $2 limit ${CHUNK}`;
// equal times let Postgres leave out the days of none of them
const PREDICTIONS = `
  delete from monitoring.predictions
  where tenant = $1 and id = any($2) and at = any($3::timestamptz[])`;
const FEEDBACK = 'delete from monitoring.feedback where tenant = $1 and inference_id = any($2)';
const HISTORY = 'delete from monitoring.feedback_history where tenant = $1 and inference_id = any($2)';

/** Removes a chunk and adds it to the erasure; returns how many predictions that were. */
async function eraseChunk(
  client: PoolClient,
  id: string,
  { tenant, userId }: { tenant: string; userId: string },
): Promise<{ predictions: number; feedback: number }> {
  const { rows } = await client.query<{ id: string; at: string }>(OF_USER, [tenant, plainText(userId)]);
  const ids = rows.map((row) => row.id);
  const times = rows.map(({ at }) => at);
  const gone = await client.query(PREDICTIONS, [tenant, ids, times]);
  const feedback = await client.query(FEEDBACK, [tenant, ids]);
  await client.query(HISTORY, [tenant, ids]);
  const counts = { predictions: gone.rowCount ?? 0, feedback: feedback.rowCount ?? 0 };
  await client.query(
    'update monitoring.erasures set predictions = predictions + $2, feedback = feedback + $3 where id = $1',
    [id, counts.predictions, counts.feedback],
  );
  return counts;
}

/** Erasures of users' data. Throws `database_unavailable` while Postgres is away. */
export function createErasureRepository(database: Database): ErasureRepository {
  const query = async <Row extends object>(text: string, values: unknown[]): Promise<Row[]> => {
    try {
      return (await database.pool.query<Row>(text, values)).rows;
    } catch (error) {
      throw toDatabaseError(error);
    }
  };
  return {
    async erase({ tenant, userId, principal }, chunks) {
      const erasure: Erasure = {
        id: newId(),
        userDigest: userDigest(tenant, userId),
        principal,
        predictions: 0,
        feedback: 0,
        erasedAt: new Date(),
      };
      await inTransaction(database, async (client) => {
        // whoever stores predictions now ends first; who begins later sees the erasure
        await client.query('select pg_advisory_xact_lock($1)', [ERASURE_LOCK]);
        await client.query(
          `insert into monitoring.erasures (id, tenant, user_digest, principal, predictions, feedback, erased_at)
           values ($1, $2, $3, $4, 0, 0, $5)`,
          [erasure.id, tenant, erasure.userDigest, principal, erasure.erasedAt],
        );
      });
      for (let step = 0; step < chunks; step += 1) {
        const counts = await inTransaction(database, (client) =>
          eraseChunk(client, erasure.id, { tenant, userId }),
        );
        erasure.predictions += counts.predictions;
        erasure.feedback += counts.feedback;
        if (counts.predictions < CHUNK) return { ...erasure, isComplete: true };
      }
      return { ...erasure, isComplete: false };
    },
    list: (tenant, limit, after) =>
      query<Erasure>(
        `select ${COLUMNS} from monitoring.erasures
         where tenant = $1 and ($2::timestamptz is null or (erased_at, id) < ($2::timestamptz, $3::uuid))
         order by erased_at desc, id desc limit $4`,
        [tenant, after?.[0] ?? null, after?.[1] ?? null, limit],
      ),
    feedbackOf: (tenant, inferenceIds) =>
      query<FeedbackEntry>(
        `select inference_id as "inferenceId", outcome, correct, received_at as "receivedAt"
         from monitoring.feedback_history where tenant = $1 and inference_id = any($2) order by id`,
        [tenant, inferenceIds],
      ),
  };
}
