import type { TensorSummary } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { toDatabaseError } from '@millrace/database';
import type { PoolClient } from 'pg';
import { inTransaction } from '../in-transaction.ts';
import { addToRollups } from '../rollups/rollup.writer.ts';
import type { Verdict } from '../rollups/rollup-counts.ts';
import { countVerdicts } from '../rollups/rollup-counts.ts';
import { isRight, scoreOutcome } from './score-outcome.ts';

/** Feedback and the prediction it speaks of. */
type Pair = {
  inferenceId: string;
  outcome: unknown;
  correct: boolean | null;
  at: Date;
  /** As Postgres writes it, with its microseconds. */
  atText: string;
  modelVersionId: string;
  model: string;
  version: string;
  stage: string;
  confidence: number | null;
  outputs: TensorSummary[];
};

/** A verdict and the version it counts for. */
export type VersionVerdict = Verdict & Pick<Pair, 'modelVersionId' | 'model' | 'version'>;

const WAITING = `
  select inference_id as id from monitoring.feedback where inference_id = any($1) and tenant = $2 and not is_matched`;

// Feedback is locked in one order before anything that is counted, by everybody who takes more than one.
const PAIRS = `
  select f.inference_id as "inferenceId", f.outcome, f.correct, p.at, p.at::text as "atText",
    p.model_version_id as "modelVersionId", p.model, p.version, p.stage, p.confidence, p.outputs
  from monitoring.feedback f join monitoring.predictions p on p.id = f.inference_id and p.tenant = f.tenant
  where f.inference_id = any($1) and f.tenant = $2 and not f.is_matched
  order by f.inference_id for update of f`;

const MATCH = `
  update monitoring.feedback f set is_matched = true, prediction_at = m."atText"::timestamptz,
    model_version_id = m."modelVersionId", model = m."model", version = m."version", stage = m."stage",
    confidence = m."confidence", kind = m."kind", truth = m."truth", predicted = m."predicted",
    truth_index = m."truthIndex", scores = m."scores", predicted_probability = m."predictedProbability",
    truth_probability = m."truthProbability", brier = m."brier", truth_value = m."truthValue",
    predicted_value = m."predictedValue", is_contradictory = m."isContradictory"
  from jsonb_to_recordset($2) as m("inferenceId" uuid, "atText" text, "modelVersionId" uuid, "model" text,
    "version" text, "stage" text, "confidence" float8, "kind" text, "truth" text, "predicted" text, "truthIndex" int,
    "scores" float8[], "predictedProbability" float8, "truthProbability" float8, "brier" float8, "truthValue" float8,
    "predictedValue" float8, "isContradictory" boolean)
  where f.inference_id = m."inferenceId" and f.tenant = $1`;

// in the order of the index, so that each step reads only its own rows
const UNMATCHED_AFTER = `
  select inference_id as id, tenant, received_at::text as "receivedAt" from monitoring.feedback
  where not is_matched and (received_at, inference_id, tenant) > ($1::timestamptz, $2::uuid, $3)
  order by received_at, inference_id, tenant limit $4`;
/** Feedback that is looked at in one step when it may have been left over. */
const LEFT_OVER_MAX = 1_000;
const FIRST_ID = '00000000-0000-0000-0000-000000000000';

/** Adds verdicts of one tenant to the roll-ups of their versions. */
export async function addVerdicts(
  client: PoolClient,
  tenant: string,
  verdicts: readonly VersionVerdict[],
): Promise<void> {
  const byVersion = Map.groupBy(verdicts, ({ modelVersionId }) => modelVersionId);
  const inOrder = [...byVersion.values()].sort(([a], [b]) =>
    (a as VersionVerdict).modelVersionId < (b as VersionVerdict).modelVersionId ? -1 : 1,
  );
  for (const own of inOrder) {
    const { modelVersionId, model, version } = own[0] as VersionVerdict;
    await addToRollups(client, { tenant, modelVersionId, model, version }, countVerdicts(own));
  }
}

/** What was joined, and what it adds to the roll-ups. */
type Matched = { readonly ids: readonly string[]; readonly verdicts: readonly VersionVerdict[] };

/** Joins feedback to its predictions within the transaction of `client`; the verdicts are still to be counted. */
export async function matchWithin(
  client: PoolClient,
  tenant: string,
  inferenceIds: readonly string[],
): Promise<Matched> {
  const { rows } = await client.query<Pair>(PAIRS, [inferenceIds, tenant]);
  if (rows.length === 0) return { ids: [], verdicts: [] };
  const matched = rows.map(({ outcome, outputs, correct, at: _at, ...about }) => {
    const score = scoreOutcome(outputs, outcome);
    const right = isRight(score);
    const isContradictory = right !== undefined && correct !== null && right !== correct;
    return { ...about, ...score, isContradictory };
  });
  await client.query(MATCH, [tenant, JSON.stringify(matched)]);
  const verdicts = rows.flatMap(({ correct, at, stage, modelVersionId, model, version }) =>
    correct === null
      ? []
      : [{ at: at.getTime(), stage, modelVersionId, model, version, isCorrect: correct, sign: 1 as const }],
  );
  return { ids: rows.map(({ inferenceId }) => inferenceId), verdicts };
}

/**
 * Joins feedback that waits for these predictions, and counts it. Called after the commit of either side: whichever was
 * stored last sees the other, so that none is missed when both are stored in the same moment. Throws
 * `database_unavailable` while Postgres is away.
 */
export async function matchFeedback(
  database: Database,
  tenant: string,
  inferenceIds: readonly string[],
): Promise<void> {
  if (inferenceIds.length === 0) return;
  const { rows } = await database.pool
    .query<{ id: string }>(WAITING, [inferenceIds, tenant])
    .catch((error: unknown) => {
      throw toDatabaseError(error);
    });
  if (rows.length === 0) return;
  const waiting = rows.map(({ id }) => id);
  await inTransaction(database, async (client) => {
    const { verdicts } = await matchWithin(client, tenant, waiting);
    await addVerdicts(client, tenant, verdicts);
  });
}

/**
 * Joins feedback received since a time that a process which ended half way left beside its prediction, and that of
 * releases which did not count it. Throws `database_unavailable` while Postgres is away.
 */
export async function matchLeftOver(database: Database, since: Date): Promise<void> {
  type Row = { id: string; tenant: string; receivedAt: string };
  let last: Row | undefined = { id: FIRST_ID, tenant: '', receivedAt: since.toISOString() };
  while (last !== undefined) {
    const { rows }: { rows: Row[] } = await database.pool
      .query<Row>(UNMATCHED_AFTER, [last.receivedAt, last.id, last.tenant, LEFT_OVER_MAX])
      .catch((error: unknown) => {
        throw toDatabaseError(error);
      });
    for (const [tenant, own] of Map.groupBy(rows, (row) => row.tenant)) {
      await matchFeedback(
        database,
        tenant,
        own.map(({ id }) => id),
      );
    }
    last = rows.length === LEFT_OVER_MAX ? rows.at(-1) : undefined;
  }
}
