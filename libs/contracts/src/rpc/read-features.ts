import type { Static } from 'typebox';
import Type from 'typebox';
import { EntityKey } from '../features/feature-row.ts';
import { FeatureName, FeatureViewName } from '../features/feature-view.ts';
import { Timestamp } from '../primitives.ts';

/** Views in one question. */
export const READ_VIEWS_MAX = 32;

/** Values of a view of one entity, with what tells for how long they count. */
export const ReadFeatures = Type.Object({
  view: FeatureViewName,
  entity: Type.String(),
  eventTime: Type.Union([Timestamp, Type.Null()]),
  reason: Type.Union([Type.Null(), Type.Literal('expired'), Type.Literal('missing')]),
  ttlSeconds: Type.Union([Type.Integer(), Type.Null()]),
  /** By feature; null where there is none. */
  values: Type.Record(Type.String(), Type.Unknown()),
  /** Elements of those that are vectors. */
  sizes: Type.Record(Type.String(), Type.Integer()),
});
export type ReadFeatures = Static<typeof ReadFeatures>;

/** `millrace.rpc.datasets.features`: values of views now, of whichever of the entities each is about. */
export const readFeaturesMethod = {
  request: Type.Object({
    tenant: Type.String(),
    entities: Type.Record(FeatureName, EntityKey),
    views: Type.Array(FeatureViewName, { minItems: 1, maxItems: READ_VIEWS_MAX }),
  }),
  reply: Type.Object({ views: Type.Array(ReadFeatures) }),
};
