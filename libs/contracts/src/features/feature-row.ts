import type { Static } from 'typebox';
import Type from 'typebox';
import { Timestamp } from '../primitives.ts';

/** Rows in one request or message. */
export const FEATURE_ROWS_MAX = 1_000;

/** Key of an entity: a text, or a whole number (also as text) where the view says so. */
export const EntityKey = Type.Union([Type.String({ minLength: 1, maxLength: 255 }), Type.Integer()]);
export type EntityKey = Static<typeof EntityKey>;

/** All values of an entity at one event; a feature that is left out or null has no value from this event on. */
export const FeatureRow = Type.Object(
  {
    entity: EntityKey,
    eventTime: Timestamp,
    /** When the values became known; default: now. Training sets show them to no row before. */
    createdTime: Type.Optional(Timestamp),
    values: Type.Record(Type.String(), Type.Unknown()),
  },
  { additionalProperties: false },
);
export type FeatureRow = Static<typeof FeatureRow>;

/** Rows of one view, as a request or a message of the bus carries them. */
export const FeatureRows = Type.Object({
  rows: Type.Array(FeatureRow, { minItems: 1, maxItems: FEATURE_ROWS_MAX }),
});
export type FeatureRows = Static<typeof FeatureRows>;
