import { FeatureEntity, FeatureSpec, FeatureViewName, Timestamp, Uuid } from '@millrace/contracts';
import type { Static } from 'typebox';
import Type from 'typebox';
import type { FeatureViewRow } from './feature-view.table.ts';

/** A feature view as HTTP shows it. */
export const FeatureView = Type.Object({
  id: Uuid,
  name: FeatureViewName,
  description: Type.String(),
  owner: Type.String(),
  entity: FeatureEntity,
  features: Type.Array(FeatureSpec),
  ttlSeconds: Type.Union([Type.Integer(), Type.Null()]),
  revision: Type.Integer({ minimum: 1 }),
  createdAt: Timestamp,
  updatedAt: Timestamp,
  updatedBy: Type.String(),
});
export type FeatureView = Static<typeof FeatureView>;

export function toFeatureView(row: FeatureViewRow): FeatureView {
  return {
    id: row.id,
    name: row.name,
    description: row.description,
    owner: row.owner,
    entity: { name: row.entity, keyType: row.keyType },
    features: row.features,
    ttlSeconds: row.ttlSeconds,
    revision: row.revision,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
    updatedBy: row.updatedBy,
  };
}
