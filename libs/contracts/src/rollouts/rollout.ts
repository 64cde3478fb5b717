import type { Static } from 'typebox';
import Type from 'typebox';

/** Versions between which a rollout divides requests. */
const VERSIONS_MAX = 16;
const RULES_MAX = 16;
const WINDOW_SECONDS_MIN = 5;
const WINDOW_SECONDS_MAX = 3_600;

/** Keys of sticky requests fall into this many buckets, so a weight is exact to 0.01 percent. */
export const ROLLOUT_BUCKETS = 10_000;

const VersionRef = Type.String({
  minLength: 1,
  maxLength: 255,
  description: 'Label, ordinal or @alias; kept as the label that it means now.',
});
const Percent = Type.Number({
  minimum: 0,
  maximum: 100,
  description: 'Percent, exact to two decimals.',
});
const HeaderName = Type.String({
  minLength: 1,
  maxLength: 64,
  pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
  description: 'Name of a request header (gRPC: of the metadata), in any case.',
});

/** A version and the percent of requests that it answers. */
export const RolloutWeight = Type.Object(
  { version: VersionRef, weight: Percent },
  { additionalProperties: false },
);
export type RolloutWeight = Static<typeof RolloutWeight>;

/** What keeps a caller on one version; a request without it is divided by chance. */
export const RolloutSticky = Type.Object(
  {
    by: Type.Union([Type.Literal('userId'), Type.Literal('sessionId'), Type.Literal('header')]),
    header: Type.Optional(HeaderName),
  },
  { additionalProperties: false },
);
export type RolloutSticky = Static<typeof RolloutSticky>;

/** Requests whose header equals a value, or begins with it, go to a version; the first rule that fits counts. */
export const RolloutRule = Type.Object(
  {
    header: HeaderName,
    equals: Type.Optional(Type.String({ maxLength: 255 })),
    prefix: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
    version: VersionRef,
  },
  { additionalProperties: false },
);
export type RolloutRule = Static<typeof RolloutRule>;

/** A version that gets a copy of a percent of the requests; its answers are compared and thrown away. */
export const RolloutShadow = Type.Object(
  { version: VersionRef, percent: Percent },
  { additionalProperties: false },
);
export type RolloutShadow = Static<typeof RolloutShadow>;

/** When a version loses its weight by itself: compared with the baseline over a sliding window. */
export const RolloutCanary = Type.Object(
  {
    version: VersionRef,
    baseline: VersionRef,
    windowSeconds: Type.Integer({ minimum: WINDOW_SECONDS_MIN, maximum: WINDOW_SECONDS_MAX }),
    minRequests: Type.Integer({
      minimum: 10,
      maximum: 1_000_000,
      description: 'Nothing is decided before the version answered this many requests in the window.',
    }),
    errorRateIncreaseMax: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 1,
        description: 'Share of failed requests that the version may have over that of the baseline.',
      }),
    ),
    latency: Type.Optional(
      Type.Object(
        {
          quantile: Type.Union([Type.Literal('p95'), Type.Literal('p99')]),
          ratioMax: Type.Number({
            minimum: 1,
            maximum: 100,
            description: 'How many times the latency of the baseline the version may take.',
          }),
        },
        { additionalProperties: false },
      ),
    ),
  },
  { additionalProperties: false },
);
export type RolloutCanary = Static<typeof RolloutCanary>;

/** Answers that are kept and given again for equal inputs. */
export const RolloutCache = Type.Object(
  {
    maxBytes: Type.Integer({
      minimum: 1_024,
      maximum: 2 ** 34,
      description: 'Inputs and outputs that a server keeps for the model (bytes).',
    }),
    ttlSeconds: Type.Integer({ minimum: 1, maximum: 86_400 }),
  },
  { additionalProperties: false },
);
export type RolloutCache = Static<typeof RolloutCache>;

/** How requests of a model that name no version are divided among its versions; every part may be left out. */
export const RolloutSpec = Type.Object(
  {
    weights: Type.Optional(Type.Array(RolloutWeight, { minItems: 1, maxItems: VERSIONS_MAX })),
    sticky: Type.Optional(RolloutSticky),
    rules: Type.Optional(Type.Array(RolloutRule, { minItems: 1, maxItems: RULES_MAX })),
    shadow: Type.Optional(RolloutShadow),
    canary: Type.Optional(RolloutCanary),
    cache: Type.Optional(RolloutCache),
  },
  { additionalProperties: false },
);
export type RolloutSpec = Static<typeof RolloutSpec>;

/** Buckets from the end of the part before up to `below` belong to a version. */
export const BucketRange = Type.Object({
  below: Type.Integer({ minimum: 1, maximum: ROLLOUT_BUCKETS }),
  version: Type.String(),
});
export type BucketRange = Static<typeof BucketRange>;

/** A rollout as servers apply it. Without `buckets` the version that serves by default answers what no rule takes. */
export const RolloutPlan = Type.Object({
  revision: Type.Integer({ minimum: 1 }),
  buckets: Type.Optional(Type.Array(BucketRange, { minItems: 1, maxItems: ROLLOUT_BUCKETS })),
  sticky: Type.Optional(RolloutSticky),
  rules: Type.Optional(Type.Array(RolloutRule, { maxItems: RULES_MAX })),
  shadow: Type.Optional(RolloutShadow),
  cache: Type.Optional(RolloutCache),
});
export type RolloutPlan = Static<typeof RolloutPlan>;
