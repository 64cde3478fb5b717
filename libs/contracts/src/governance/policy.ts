import type { Static } from 'typebox';
import Type from 'typebox';

/** Most people whose approval a stage may demand. */
export const APPROVALS_REQUIRED_MAX = 16;
const PROTECTED_ALIASES_MAX = 64;

const ListMode = Type.Union([Type.Literal('off'), Type.Literal('enforce')]);
const Required = Type.Integer({ minimum: 0, maximum: APPROVALS_REQUIRED_MAX });

/** Stages that a version may be approved for, and whose versions may serve. */
export const LiveStage = Type.Union([
  Type.Literal('development'),
  Type.Literal('staging'),
  Type.Literal('production'),
]);
export type LiveStage = Static<typeof LiveStage>;

/** What a model's versions need before they may move, be pointed at or serve; what is left out is as in `openPolicy`. */
export const PolicySpec = Type.Object(
  {
    approvalsRequired: Type.Optional(
      Type.Object(
        {
          development: Type.Optional(Required),
          staging: Type.Optional(Required),
          production: Type.Optional(Required),
        },
        {
          additionalProperties: false,
          description: 'Distinct people who must approve a digest for a stage.',
        },
      ),
    ),
    registrantMayApprove: Type.Optional(
      Type.Boolean({ description: 'Whether the approval of who registered the version counts.' }),
    ),
    protectedAliases: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 255 }), {
        maxItems: PROTECTED_ALIASES_MAX,
        description: 'Aliases (* is any text) that need the approvals of production, at least one.',
      }),
    ),
    allowList: Type.Optional(
      Type.Object(
        {
          development: Type.Optional(ListMode),
          staging: Type.Optional(ListMode),
          production: Type.Optional(ListMode),
        },
        {
          additionalProperties: false,
          description: 'Whether only digests on the allow-list of a stage may move to it and serve in it.',
        },
      ),
    ),
    servableStages: Type.Optional(Type.Array(LiveStage, { minItems: 1, maxItems: 3, uniqueItems: true })),
    allowPickle: Type.Optional(
      Type.Boolean({
        description: 'Whether models with pickles may be registered, as bytes that are never loaded.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type PolicySpec = Static<typeof PolicySpec>;

/** A policy with nothing left out. */
export const Policy = Type.Object({
  approvalsRequired: Type.Object({ development: Required, staging: Required, production: Required }),
  registrantMayApprove: Type.Boolean(),
  protectedAliases: Type.Array(Type.String()),
  allowList: Type.Object({ development: ListMode, staging: ListMode, production: ListMode }),
  servableStages: Type.Array(LiveStage),
  allowPickle: Type.Boolean(),
});
export type Policy = Static<typeof Policy>;

/** Without a policy nothing is demanded, and every stage but archived serves. */
export const openPolicy: Policy = Object.freeze({
  approvalsRequired: { development: 0, staging: 0, production: 0 },
  registrantMayApprove: false,
  protectedAliases: [],
  allowList: { development: 'off', staging: 'off', production: 'off' },
  servableStages: ['development', 'staging', 'production'],
  allowPickle: true,
} satisfies Policy);
