import { AppError } from '@millrace/contracts';
import Type from 'typebox';

/** The last millisecond of a JavaScript date. */
export const TIME_MAX = 8_640_000_000_000_000;

const time = Type.Integer({ minimum: 0, maximum: TIME_MAX, description: 'Milliseconds since 1970.' });

/** Query properties of a range of time; both ends are inclusive. */
export const timeRange = { startTime: Type.Optional(time), endTime: Type.Optional(time) };

/** A model, version or user in a query. */
export const QueryName = Type.String({ minLength: 1, maxLength: 255 });

/** Throws `invalid_request` for a range whose ends are the wrong way round. */
export function assertRange(query: { startTime?: number; endTime?: number }): void {
  if (query.startTime !== undefined && query.endTime !== undefined && query.startTime > query.endTime) {
    throw new AppError('invalid_request', 'querystring.startTime is after endTime.');
  }
}

/** An instant (ms since 1970) for Postgres; what is past all dates is infinite. */
export function instant(ms: number): Date | string {
  if (Math.abs(ms) <= TIME_MAX) return new Date(ms);
  return ms < 0 ? '-infinity' : 'infinity';
}
