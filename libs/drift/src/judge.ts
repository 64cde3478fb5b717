import { adjustPValues } from './benjamini-hochberg.ts';
import { SIZE_MIN } from './bounds.ts';
import type { Finding } from './decide.ts';
import { EFFECT_FLOORS, find } from './decide.ts';
import type { Histogram } from './histogram.ts';
import { presentOf } from './histogram.ts';
import type { NullDistributions } from './null-distribution.ts';
import type { DriftReference, FeatureReference } from './reference.ts';
import type { Counts, StatisticName } from './statistics.ts';
import { isOrdered } from './statistics.ts';

/** Share of rows by which nulls, or values outside of the reference's range, must change to matter. */
export const SHARE_FLOOR = 0.01;

/** What of a feature is compared: how its values fall, how many are null, how many lie outside of its range. */
export type CheckName = 'distribution' | 'nulls' | 'range';

/** A finding and what it means among all findings of the window. */
export type Check = Finding & {
  readonly check: CheckName;
  /** The p-value after Benjamini and Hochberg, over all checks of all features. */
  readonly adjustedPValue: number;
  readonly floor: number;
  /** More than chance explains. */
  readonly isSignificant: boolean;
  /** Significant, and at least the floor. */
  readonly isDrifted: boolean;
};

/** What became of a feature. */
export type FeatureJudgement = {
  readonly name: string;
  /** Without checks there were too few values. */
  readonly status: 'stable' | 'drifted' | 'too-few-rows';
  readonly checks: readonly Check[];
  /** Rows with a value of another type: none is expected, so any breaks the schema. */
  readonly mismatched: number;
};

/** What became of all features in a window. */
export type Judgement = {
  readonly alpha: number;
  readonly isDrifted: boolean;
  readonly features: readonly FeatureJudgement[];
};

export type JudgeOptions = {
  readonly distributions: NullDistributions;
  /** Share of false alarms among alarms; 0.01 unless asked otherwise. */
  readonly alpha?: number | undefined;
  /** PSI unless asked otherwise; categories take it as well in place of statistics that need an order. */
  readonly statistic?: StatisticName | undefined;
  /** Smallest effect of the statistic that matters. */
  readonly floor?: number | undefined;
};

const ALPHA_DEFAULT = 0.01;

type Draft = { check: CheckName; floor: number; finding: Finding };
type Asked = { alpha: number; statistic: StatisticName; floor: number | undefined } & Pick<
  JudgeOptions,
  'distributions'
>;

/** The statistic that a feature is compared by. */
function statisticFor({ kind }: FeatureReference, asked: StatisticName): StatisticName {
  return kind === 'category' && isOrdered(asked) ? 'psi' : asked;
}

function checkDistribution(feature: FeatureReference, histogram: Histogram, asked: Asked): Draft[] {
  const isTold =
    feature.counts.length > 1 && presentOf(histogram) >= SIZE_MIN && present(feature) >= SIZE_MIN;
  if (!isTold) return [];
  const statistic = statisticFor(feature, asked.statistic);
  const isNumber = feature.kind === 'number';
  const finding = find(
    statistic,
    {
      reference: feature.counts,
      current: histogram.counts,
      positions: isNumber ? feature.means : undefined,
    },
    { ...asked, unit: isNumber ? feature.deviation : undefined },
  );
  const floor = statistic === asked.statistic ? asked.floor : undefined;
  return [{ check: 'distribution', floor: floor ?? EFFECT_FLOORS[statistic], finding }];
}

/** Compares the shares of rows that have a property; its effect is the difference of the shares. */
function checkShare(
  check: CheckName,
  counts: { reference: Counts; current: Counts },
  asked: Asked,
  weights?: Counts,
): Draft[] {
  const [hit, miss] = [counts.reference[0] as number, counts.reference[1] as number];
  const [hitNow, missNow] = [counts.current[0] as number, counts.current[1] as number];
  if (hit + miss < SIZE_MIN || hitNow + missNow < SIZE_MIN) return [];
  const finding = find('chi-square', counts, { ...asked, weights });
  const effect = Math.abs(hitNow / (hitNow + missNow) - hit / (hit + miss));
  return [{ check, floor: SHARE_FLOOR, finding: { ...finding, effect } }];
}

const present = ({ counts }: FeatureReference): number => counts.reduce((total, count) => total + count, 0);

function checkFeature(feature: FeatureReference, histogram: Histogram, asked: Asked): Draft[] {
  const [had, has] = [present(feature), presentOf(histogram)];
  const drafts = [
    ...checkDistribution(feature, histogram, asked),
    ...checkShare(
      'nulls',
      { reference: [feature.nulls, had], current: [histogram.nulls, has + histogram.mismatched] },
      asked,
    ),
  ];
  if (feature.kind === 'category') return drafts;
  const outside = histogram.below + histogram.above;
  // one row in m + 1 is expected beyond each end of m rows, exactly so for continuous values
  const range = { reference: [0, had], current: [outside, has - outside] };
  return [...drafts, ...checkShare('range', range, asked, [2, Math.max(1, had - 1)])];
}

/** What was found of a feature before the other features are known. */
export type FeatureFindings = {
  readonly name: string;
  readonly drafts: readonly Draft[];
  readonly mismatched: number;
};

/** Compares one feature; may simulate, which takes up to 200 ms for the most categories. */
export function compareFeature(
  feature: FeatureReference,
  histogram: Histogram | undefined,
  options: JudgeOptions,
): FeatureFindings {
  const { distributions, alpha = ALPHA_DEFAULT, statistic = 'psi', floor } = options;
  const drafts =
    histogram === undefined
      ? []
      : checkFeature(feature, histogram, { distributions, alpha, statistic, floor });
  return { name: feature.name, drafts, mismatched: histogram?.mismatched ?? 0 };
}

/**
 * Decides once every feature was compared. A feature drifted when a check of it is significant among all checks of the
 * window and its effect reaches the floor.
 */
export function conclude(
  findings: readonly FeatureFindings[],
  { alpha = ALPHA_DEFAULT }: Pick<JudgeOptions, 'alpha'> = {},
): Judgement {
  const all = findings.flatMap(({ drafts }) => drafts.map(({ finding }) => finding.pValue));
  const adjusted = adjustPValues(all).values();
  const features = findings.map(({ name, drafts, mismatched }): FeatureJudgement => {
    const checks = drafts.map(({ check, floor, finding }): Check => {
      const adjustedPValue = adjusted.next().value as number;
      const isSignificant = adjustedPValue <= alpha;
      const isDrifted = isSignificant && finding.effect >= floor;
      return { check, ...finding, adjustedPValue, floor, isSignificant, isDrifted };
    });
    const drifted = checks.some(({ isDrifted }) => isDrifted);
    const status = checks.length === 0 ? 'too-few-rows' : drifted ? 'drifted' : 'stable';
    return { name, status, checks, mismatched };
  });
  return { alpha, isDrifted: features.some(({ status }) => status === 'drifted'), features };
}

/** Judges the histograms of a window against a reference; a feature without histogram has no rows. */
export function judge(
  reference: DriftReference,
  histograms: ReadonlyMap<string, Histogram>,
  options: JudgeOptions,
): Judgement {
  const findings = reference.features.map((feature) =>
    compareFeature(feature, histograms.get(feature.name), options),
  );
  return conclude(findings, options);
}
