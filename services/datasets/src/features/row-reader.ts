import type { EntityKey, FeatureEntity, FeatureRow, FeatureSpec } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import { instantOf, microsOf, nowUs } from './event-time.ts';

/** Characters of a text value. */
const TEXT_CHARS_MAX = 4_096;
/** One row as JSON. */
const ROW_CHARS_MAX = 64 * 1024;
/** An event may be dated this far ahead: clocks differ (µs). */
const AHEAD_US_MAX = 5 * 60 * 1_000_000;
const WHOLE = /^(0|-?[1-9]\d{0,15})$/;
const CONTROL = /\p{Cc}/u;

/** A row as it is stored. */
export type StoredRow = {
  readonly entity: string;
  readonly eventUs: number;
  readonly createdUs: number;
  /** The values that are not null as JSON, in the order of the view: equal values are equal texts. */
  readonly json: string;
};

/** What is given for rows that do not say when they became known: now, or the time of the event. */
export type CreatedTimes = 'now' | 'event';

type Described = { readonly keyType: FeatureEntity['keyType']; readonly features: readonly FeatureSpec[] };

function invalid(field: string, fault: string): AppError {
  return new AppError('invalid_feature_row', `${field} ${fault}`, { details: { field } });
}

/** A key in its one form as text. @throws AppError `invalid_feature_row` */
export function readEntity(key: EntityKey, keyType: FeatureEntity['keyType'], field: string): string {
  if (keyType === 'int') {
    const isWhole = typeof key === 'number' || WHOLE.test(key);
    if (isWhole && Number.isSafeInteger(Number(key))) return String(Number(key));
    throw invalid(field, 'must be a whole number within ±(2^53-1), as the view says.');
  }
  if (typeof key !== 'string') throw invalid(field, 'must be a text, as the view says.');
  if (key.length > 0 && key.length <= 255 && key.isWellFormed() && !CONTROL.test(key)) return key;
  throw invalid(field, 'must have 1 to 255 characters and no control characters.');
}

/** What is wrong with a value; undefined when it fits. */
function faultOf(value: unknown, { type, size }: FeatureSpec): string | undefined {
  switch (type) {
    case 'float':
      return Number.isFinite(value) ? undefined : 'must be a finite number.';
    case 'int':
      return Number.isSafeInteger(value) ? undefined : 'must be a whole number within ±(2^53-1).';
    case 'bool':
      return typeof value === 'boolean' ? undefined : 'must be true or false.';
    case 'string':
      return typeof value === 'string' && value.length <= TEXT_CHARS_MAX && value.isWellFormed()
        ? undefined
        : `must be a text of at most ${TEXT_CHARS_MAX} characters.`;
    case 'vector':
      return Array.isArray(value) && value.length === size && value.every(Number.isFinite)
        ? undefined
        : `must be a list of ${size} finite numbers.`;
  }
}

/** Values as JSON in the order of the view. @throws AppError `invalid_feature_row`, `unknown_field` */
function readValues(
  values: Record<string, unknown>,
  features: readonly FeatureSpec[],
  field: string,
): string {
  const parts: string[] = [];
  let known = 0;
  for (const feature of features) {
    if (!Object.hasOwn(values, feature.name)) continue;
    known += 1;
    const value = values[feature.name];
    if (value === null) continue;
    const fault = faultOf(value, feature);
    if (fault !== undefined) throw invalid(`${field}.${feature.name}`, fault);
    parts.push(`${JSON.stringify(feature.name)}:${JSON.stringify(value)}`);
  }
  if (known < Object.keys(values).length) {
    const names = new Set(features.map(({ name }) => name));
    const name = Object.keys(values).find((one) => !names.has(one));
    throw new AppError(
      'unknown_field',
      `${field} has '${name}', which is no feature of the view; remove it.`,
      {
        details: { field: name },
      },
    );
  }
  const json = `{${parts.join(',')}}`;
  if (json.length > ROW_CHARS_MAX) throw invalid(field, `is over ${ROW_CHARS_MAX} characters as JSON.`);
  return json;
}

function readTime(text: string, field: string, latestUs: number): number {
  const us = microsOf(text);
  if (us === undefined)
    throw invalid(
      field,
      'must be an instant with its zone, down to the microsecond: 2026-11-22T06:00:00.000Z.',
    );
  if (us <= latestUs) return us;
  throw invalid(field, `is ${instantOf(us)}, which is more than five minutes ahead of the platform's clock.`);
}

/**
 * Reads rows of a view; `field` is where a row lies in the request. Nothing is rounded, cut or guessed.
 * @throws AppError `invalid_feature_row`, `unknown_field`
 */
export function createRowReader(
  view: Described,
  createdTimes: CreatedTimes = 'now',
): (row: FeatureRow, field: string) => StoredRow {
  const now = nowUs();
  const latestUs = now + AHEAD_US_MAX;
  return (row, field) => {
    const entity = readEntity(row.entity, view.keyType, `${field}.entity`);
    const eventUs = readTime(row.eventTime, `${field}.eventTime`, latestUs);
    const createdUs =
      row.createdTime === undefined
        ? createdTimes === 'event'
          ? eventUs
          : now
        : readTime(row.createdTime, `${field}.createdTime`, latestUs);
    return { entity, eventUs, createdUs, json: readValues(row.values, view.features, `${field}.values`) };
  };
}
