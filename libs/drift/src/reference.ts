import { AppError } from '@millrace/contracts';
import { canonicalJson } from '@millrace/integrity';
import type { Static } from 'typebox';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import {
  BINS_MAX,
  CATEGORIES_MAX,
  CATEGORY_LENGTH_MAX,
  FEATURE_NAME_LENGTH_MAX,
  FEATURES_MAX,
  GRID_STEPS,
} from './bounds.ts';

/** Format of a reference; another meaning of its fields gets another one. */
export const REFERENCE_FORMAT = 'millrace.drift-reference/1';

const EDGES_MAX = 2 * BINS_MAX;
const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const FeatureName = Type.String({ minLength: 1, maxLength: FEATURE_NAME_LENGTH_MAX });
const closed = { additionalProperties: false };

/** How a numeric feature was distributed. */
export const NumberReference = Type.Object(
  {
    name: FeatureName,
    kind: Type.Literal('number'),
    /** `single` rounds values to float32 first. */
    precision: Type.Union([Type.Literal('single'), Type.Literal('double')]),
    /** Ascending values of the reference; the value x lies right of every edge that is not over it. */
    edges: Type.Array(Type.Number(), { maxItems: EDGES_MAX }),
    counts: Type.Array(Count, { minItems: 1, maxItems: EDGES_MAX + 1 }),
    /** Mean of the values in each bin. */
    means: Type.Array(Type.Number(), { minItems: 1, maxItems: EDGES_MAX + 1 }),
    nulls: Count,
    min: Type.Number(),
    max: Type.Number(),
    /** Standard deviation of the values. */
    deviation: Type.Number({ minimum: 0 }),
    /** Values at equal steps of probability, the smallest and the largest included. */
    grid: Type.Array(Type.Number(), { minItems: GRID_STEPS + 1, maxItems: GRID_STEPS + 1 }),
  },
  closed,
);
export type NumberReference = Static<typeof NumberReference>;

/** How a feature with categories was distributed. */
export const CategoryReference = Type.Object(
  {
    name: FeatureName,
    kind: Type.Literal('category'),
    /** The most frequent first. */
    categories: Type.Array(Type.String({ maxLength: CATEGORY_LENGTH_MAX }), {
      maxItems: CATEGORIES_MAX,
      uniqueItems: true,
    }),
    /** One for each category, then one for all others. */
    counts: Type.Array(Count, { minItems: 1, maxItems: CATEGORIES_MAX + 1 }),
    nulls: Count,
  },
  closed,
);
export type CategoryReference = Static<typeof CategoryReference>;

export const FeatureReference = Type.Union([NumberReference, CategoryReference]);
export type FeatureReference = Static<typeof FeatureReference>;

/** What later rows are compared with: the distribution of every feature. */
export const DriftReference = Type.Object(
  {
    format: Type.Literal(REFERENCE_FORMAT),
    rows: Count,
    features: Type.Array(FeatureReference, { minItems: 1, maxItems: FEATURES_MAX }),
  },
  closed,
);
export type DriftReference = Static<typeof DriftReference>;

const validator = Compile(DriftReference);

const isAscending = (values: readonly number[], isStrict: boolean): boolean =>
  values.every(
    (value, i) => i === 0 || value > (values[i - 1] as number) || (!isStrict && value === values[i - 1]),
  );

function faultOf(feature: FeatureReference, rows: number): string | undefined {
  const total = feature.counts.reduce((sum, count) => sum + count, feature.nulls);
  if (total !== rows) return `its counts and nulls are ${total}, not the ${rows} rows`;
  if (feature.kind === 'category')
    return feature.counts.length === feature.categories.length + 1
      ? undefined
      : 'it needs one count for each category and one for all others';
  const { edges, counts, means, min, max, grid } = feature;
  if (counts.length !== edges.length + 1 || means.length !== counts.length)
    return 'it needs one count and one mean more than edges';
  if (!isAscending(edges, true) || !isAscending(means, false) || !isAscending(grid, false))
    return 'its edges, means and quantiles do not ascend';
  if (min !== grid[0] || max !== grid.at(-1))
    return 'its quantiles do not reach from its minimum to its maximum';
  return undefined;
}

/** Checks a reference that came from outside. Throws `invalid_request` that names the field or the feature. */
export function parseReference(value: unknown): DriftReference {
  if (!validator.Check(value)) {
    const [first] = validator.Errors(value);
    throw new AppError(
      'invalid_request',
      `The drift reference does not fit its schema: ${first?.instancePath} ${first?.message}.`,
    );
  }
  const names = new Set<string>();
  for (const feature of value.features) {
    const fault = names.has(feature.name) ? 'it is there twice' : faultOf(feature, value.rows);
    if (fault !== undefined)
      throw new AppError('invalid_request', `Feature "${feature.name}" of the drift reference: ${fault}.`);
    names.add(feature.name);
  }
  return value;
}

/** The one text of a reference: canonical JSON, so that equal references have equal digests. */
export function encodeReference(reference: DriftReference): string {
  return canonicalJson(reference);
}
