import { FeatureViewName, Timestamp } from '@millrace/contracts';
import type { Static } from 'typebox';
import Type from 'typebox';
import { instantOf, isFresh } from './event-time.ts';
import type { FeatureViewRow } from './feature-view.table.ts';
import type { Held } from './value-cache.ts';

/** The values of an entity now. */
export const FeatureValues = Type.Object({
  view: FeatureViewName,
  entity: Type.String({ description: 'The key as text.' }),
  eventTime: Type.Union([Timestamp, Type.Null()]),
  createdTime: Type.Union([Timestamp, Type.Null()]),
  reason: Type.Union([Type.Null(), Type.Literal('expired'), Type.Literal('missing')], {
    description: 'Why every value is null: older than the TTL of the view, or never written.',
  }),
  values: Type.Record(Type.String(), Type.Unknown(), {
    description: 'By feature; null where the newest row has no value.',
  }),
});
export type FeatureValues = Static<typeof FeatureValues>;

/** What is held of an entity as values at `atUs`: those past the TTL of the view are null. */
export function toFeatureValues(
  view: Pick<FeatureViewRow, 'name' | 'features' | 'ttlSeconds'>,
  entity: string,
  held: Held,
  atUs: number,
): FeatureValues {
  const isCounted = held !== null && isFresh(held.eventUs, atUs, view.ttlSeconds);
  const values: Record<string, unknown> = {};
  for (const { name } of view.features)
    values[name] = isCounted && Object.hasOwn(held.values, name) ? held.values[name] : null;
  return {
    view: view.name,
    entity,
    eventTime: held === null ? null : instantOf(held.eventUs),
    createdTime: held === null ? null : instantOf(held.createdUs),
    reason: held === null ? 'missing' : isCounted ? null : 'expired',
    values,
  };
}
