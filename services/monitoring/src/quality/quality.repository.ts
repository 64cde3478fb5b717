import type { Database } from '@millrace/database';
import type { PoolClient } from 'pg';
import { inTransaction } from '../in-transaction.ts';
import { CONFIDENCE_BINS } from '../rollups/rollup-counts.ts';
import type { ConfusionCell, ReliabilityBin } from './classification.ts';
import type { LabelledBin } from './estimate.ts';

/** Newest predictions with a known truth that one answer is made of at most. */
export const LABELLED_MAX = 100_000;
/** Cells of a confusion matrix; a model with more tells labels apart that are no classes. */
const CELLS_MAX = 20_000;
/** Equal parts of [0, 1] for the reliability of probabilities. */
const RELIABILITY_BINS = 15;
/** A probability of 0 for what came true counts as this, so that the log loss stays a number. */
const PROBABILITY_MIN = Number.EPSILON;

/** Feedback of a model whose predictions were made in [from, to). */
export type QualityFilter = {
  tenant: string;
  modelId: string;
  version: string | undefined;
  stage: string | undefined;
  from: Date | string;
  to: Date | string;
};

export type FeedbackCounts = {
  /** Predictions with feedback; at most LABELLED_MAX. */
  matched: number;
  classified: number;
  measured: number;
  /** Of those that tell neither class nor number that fits the prediction. */
  incomparable: number;
  contradictory: number;
  medianDelaySeconds: number | null;
  oldestAt: Date | null;
};

export type ProbabilityLoss = { count: number; logLoss: number | null; brier: number | null };
export type ClassAuc = { place: number; positives: number; auc: number };
export type RegressionSums = {
  count: number;
  mae: number;
  rmse: number;
  meanError: number;
  /** Null where the truth is always the same. */
  r2: number | null;
};

/** What feedback says of the predictions of a range. */
export type QualitySums = {
  counts: FeedbackCounts;
  cells: ConfusionCell[];
  /** There are more cells than are given. */
  isCut: boolean;
  loss: ProbabilityLoss;
  reliability: ReliabilityBin[];
  auc: ClassAuc[];
  regression: RegressionSums | null;
};

// $1 tenant, $2 model, $3 version, $4 stage, $5 from, $6 to
const USED = `
  with used as (
    select * from monitoring.feedback f
    where f.is_matched and f.tenant = $1 and f.model = $2 and f.prediction_at >= $5 and f.prediction_at < $6
      and ($3::text is null or f.version = $3) and ($4::text is null or f.stage = $4)
    order by f.prediction_at desc limit ${LABELLED_MAX}
  )`;

const COUNTS = `${USED}
  select count(*)::int as matched, count(*) filter (where kind = 'classification')::int as classified,
    count(*) filter (where kind = 'regression')::int as measured,
    count(*) filter (where kind is null)::int as incomparable,
    count(*) filter (where is_contradictory)::int as contradictory,
    percentile_cont(0.5) within group (order by extract(epoch from received_at - prediction_at)::float8)
      as "medianDelaySeconds",
    min(prediction_at) as "oldestAt"
  from used`;

const CELLS = `${USED}
  select truth, predicted, count(*)::int as count from used where kind = 'classification'
  group by truth, predicted order by count(*) desc, truth, predicted limit ${CELLS_MAX + 1}`;

const LOSS = `${USED}
  select count(truth_probability)::int as count, avg(-ln(greatest(truth_probability, ${PROBABILITY_MIN}))) as "logLoss",
    avg(brier) as brier
  from used`;

const RELIABILITY = `${USED}, placed as (
    select least(${RELIABILITY_BINS - 1}, floor(predicted_probability * ${RELIABILITY_BINS}))::int as place,
      predicted_probability as probability, (truth = predicted)::int as is_right
    from used where predicted_probability is not null
  )
  select place / ${RELIABILITY_BINS}.0::float8 as "from", (place + 1) / ${RELIABILITY_BINS}.0::float8 as "to",
    count(*)::int as count, avg(probability) as "avgProbability", avg(is_right)::float8 as accuracy
  from placed group by place order by place`;

// the area under the curve is the share of pairs in the right order, ties half: Mann and Whitney's U by mean ranks
const AUC = `${USED}, scored as (
    select s.place - 1 as place, s.score, (truth_index = s.place - 1) as is_positive
    from used cross join unnest(scores) with ordinality as s(score, place)
  ), ranked as (
    select place, is_positive,
      rank() over same + (count(*) over (partition by place, score) - 1) / 2.0 as mean_rank
    from scored window same as (partition by place order by score)
  ), summed as (
    select place, count(*) filter (where is_positive)::float8 as positives,
      count(*) filter (where not is_positive)::float8 as negatives,
      coalesce(sum(mean_rank) filter (where is_positive), 0)::float8 as ranks
    from ranked group by place
  )
  select place::int as place, positives, (ranks - positives * (positives + 1) / 2) / (positives * negatives) as auc
  from summed where positives > 0 and negatives > 0 order by place`;

const REGRESSION = `${USED}, errors as (
    select predicted_value - truth_value as error, truth_value as truth from used where kind = 'regression'
  )
  select count(*)::int as count, avg(abs(error)) as mae, sqrt(avg(error * error)) as rmse, avg(error) as "meanError",
    1 - avg(error * error) / nullif(var_pop(truth), 0) as r2
  from errors`;

const LABELLED_BINS = `${USED}
  select least(${CONFIDENCE_BINS - 1}, greatest(0, floor(confidence * ${CONFIDENCE_BINS})))::int as place,
    count(*)::int as count, count(*) filter (where truth = predicted)::int as "right"
  from used where kind = 'classification' and confidence is not null group by 1`;

export type QualityRepository = {
  sums(filter: QualityFilter): Promise<QualitySums>;
  /** Predictions with a known class by their confidence. */
  labelledBins(filter: QualityFilter): Promise<LabelledBin[]>;
};

/** What feedback says, summed up by Postgres. Throws `database_unavailable` while it is away. */
export function createQualityRepository(database: Database): QualityRepository {
  const ask = async <Row extends object>(
    client: PoolClient,
    text: string,
    { tenant, modelId, version, stage, from, to }: QualityFilter,
  ): Promise<Row[]> =>
    (await client.query<Row>(text, [tenant, modelId, version ?? null, stage ?? null, from, to])).rows;
  const inOneView = <T>(work: (client: PoolClient) => Promise<T>): Promise<T> =>
    inTransaction(database, work, 'begin isolation level repeatable read read only');

  return {
    sums: (filter) =>
      inOneView(async (client) => {
        const [counts] = await ask<FeedbackCounts>(client, COUNTS, filter);
        const [loss] = await ask<ProbabilityLoss>(client, LOSS, filter);
        const [regression] = await ask<RegressionSums>(client, REGRESSION, filter);
        const cells = await ask<ConfusionCell>(client, CELLS, filter);
        return {
          counts: counts as FeedbackCounts,
          cells: cells.slice(0, CELLS_MAX),
          isCut: cells.length > CELLS_MAX,
          loss: loss as ProbabilityLoss,
          reliability: await ask<ReliabilityBin>(client, RELIABILITY, filter),
          auc: await ask<ClassAuc>(client, AUC, filter),
          regression: regression === undefined || regression.count === 0 ? null : regression,
        };
      }),
    labelledBins: (filter) => inOneView((client) => ask<LabelledBin>(client, LABELLED_BINS, filter)),
  };
}
