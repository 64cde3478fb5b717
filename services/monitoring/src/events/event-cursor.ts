import { Uuid } from '@millrace/contracts';
import Type from 'typebox';
import type { StoredEvent } from './event.repository.ts';

/** What a cursor over predictions holds: an EventPlace. */
export const EventCursor = Type.Tuple([
  Type.String({ format: 'date-time', pattern: '^[12]\\d{3}-.{14}\\.\\d{6}Z$' }),
  Uuid,
]);

/** The place of a prediction, for the cursor of the page that ends with it. */
export function placeOfEvent({ atText, id }: StoredEvent): [string, string] {
  return [atText, id];
}
