import type { Static } from 'typebox';
import Type from 'typebox';

/** Features of one view; later additions count. */
export const FEATURES_MAX = 256;
/** Elements of a vector. */
export const VECTOR_SIZE_MAX = 4_096;
/** Longest time that a value counts: ten years, in seconds. */
export const FEATURE_TTL_SECONDS_MAX = 10 * 366 * 24 * 60 * 60;

const strict = { additionalProperties: false };
/** Name of a view; it is part of paths. */
export const FeatureViewName = Type.String({ pattern: '^[a-z][a-z0-9_-]{0,63}$' });
/** Name of a feature or an entity; it is part of the names of columns. */
export const FeatureName = Type.String({ pattern: '^[a-z][a-z0-9_]{0,63}$' });

/** Double; whole number within ±(2^53-1); boolean; text; doubles of a fixed number. */
export const FeatureType = Type.Union([
  Type.Literal('float'),
  Type.Literal('int'),
  Type.Literal('bool'),
  Type.Literal('string'),
  Type.Literal('vector'),
]);
export type FeatureType = Static<typeof FeatureType>;

/** One feature; a vector has a size, nothing else has. */
export const FeatureSpec = Type.Object(
  {
    name: FeatureName,
    type: FeatureType,
    size: Type.Optional(Type.Integer({ minimum: 1, maximum: VECTOR_SIZE_MAX })),
    description: Type.Optional(Type.String({ maxLength: 1_024 })),
  },
  strict,
);
export type FeatureSpec = Static<typeof FeatureSpec>;

/** What the rows of a view are about, such as a customer; views of one entity have keys of one type. */
export const FeatureEntity = Type.Object(
  { name: FeatureName, keyType: Type.Union([Type.Literal('string'), Type.Literal('int')]) },
  strict,
);
export type FeatureEntity = Static<typeof FeatureEntity>;

const described = {
  description: Type.Optional(Type.String({ maxLength: 4_096 })),
  owner: Type.Optional(Type.String({ maxLength: 255, description: 'Who answers for the values.' })),
};
const TtlSeconds = Type.Union([
  Type.Integer({ minimum: 1, maximum: FEATURE_TTL_SECONDS_MAX }),
  Type.Null({ description: 'Values count for ever.' }),
]);

/** Features that are written together, about one entity. */
export const FeatureViewSpec = Type.Object(
  {
    name: FeatureViewName,
    ...described,
    entity: FeatureEntity,
    features: Type.Array(FeatureSpec, { minItems: 1, maxItems: FEATURES_MAX }),
    ttlSeconds: Type.Optional(TtlSeconds),
  },
  strict,
);
export type FeatureViewSpec = Static<typeof FeatureViewSpec>;

/** A change of a view; features are only ever added, because history keeps what was written. */
export const FeatureViewChange = Type.Object(
  {
    ...described,
    ttlSeconds: Type.Optional(TtlSeconds),
    addFeatures: Type.Optional(Type.Array(FeatureSpec, { minItems: 1, maxItems: FEATURES_MAX })),
  },
  { ...strict, minProperties: 1 },
);
export type FeatureViewChange = Static<typeof FeatureViewChange>;
