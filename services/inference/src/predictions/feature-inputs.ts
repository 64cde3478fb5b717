import type { ReadFeatures } from '@millrace/contracts';
import { AppError, READ_VIEWS_MAX } from '@millrace/contracts';
import { parseSlice } from '../tensors/json-cursor.ts';
import type { Member } from '../tensors/predict-body.ts';
import { objectMembers } from '../tensors/predict-body.ts';
import type { EntityKeys, FeatureReader } from './feature-reader.ts';

const OPEN_OBJECT = 123;
/** Features that one input is made of. */
const REFERENCES_MAX = 4_096;
/** Entities of one prediction. */
const ENTITIES_MAX = 16;
const ENTITY = /^[a-z][a-z0-9_]{0,63}$/;
const REFERENCE = /^([a-z][a-z0-9_-]{0,63})\.([a-z][a-z0-9_]{0,63})$/;

/** Why a view has no values. */
const WHY = { expired: 'is past its time to live', missing: 'was never written' } as const;

type Reference = { readonly view: string; readonly feature: string };
/** An input that is made of features; `missing` stands in for values that there are not. */
type Made = {
  readonly member: Member;
  readonly from: readonly Reference[];
  readonly missing: number | undefined;
};

function invalid(field: string, fault: string): AppError {
  return new AppError('invalid_request', `body.${field} ${fault}`, { details: { field: `body.${field}` } });
}

/** Reads `entities` of a body: the key of each entity by its name. @throws AppError `invalid_request` */
export function readEntities(bytes: Buffer, { start, end }: Member): EntityKeys {
  const value = parseSlice(bytes, start, end);
  const entries =
    typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
  const isFit = entries.every(
    ([name, key]) =>
      ENTITY.test(name) && ((typeof key === 'string' && key !== '') || Number.isSafeInteger(key)),
  );
  if (isFit && entries.length > 0 && entries.length <= ENTITIES_MAX) return Object.fromEntries(entries);
  throw invalid(
    'entities',
    `must have 1 to ${ENTITIES_MAX} keys, texts or whole numbers, by names of entities.`,
  );
}

function readMade(bytes: Buffer, member: Member): Made {
  const field = `features.${member.key}`;
  const { from, missing, ...others } = parseSlice(bytes, member.start, member.end) as Record<string, unknown>;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined)
    throw new AppError(
      'unknown_field',
      `body.${field} has a field '${unknown}' that is not known here; remove it.`,
    );
  if (!Array.isArray(from) || from.length === 0 || from.length > REFERENCES_MAX)
    throw invalid(
      `${field}.from`,
      `must be a list of 1 to ${REFERENCES_MAX} features, such as ["spending.total"].`,
    );
  if (missing !== undefined && !Number.isFinite(missing))
    throw invalid(`${field}.missing`, 'must be a number.');
  const references = from.map((text: unknown, index): Reference => {
    const [, view, feature] = REFERENCE.exec(String(text)) ?? [];
    if (view !== undefined && feature !== undefined) return { view, feature };
    throw invalid(`${field}.from.${index}`, 'must name a view and a feature, such as "spending.total".');
  });
  return { member, from: references, missing: missing as number | undefined };
}

/** The values of one feature as they go into an input. @throws AppError `invalid_request`, `feature_unavailable` */
function valuesOf(read: ReadFeatures, { view, feature }: Reference, missing: number | undefined): unknown[] {
  if (!Object.hasOwn(read.values, feature))
    throw new AppError('invalid_request', `The view ${view} has no feature ${feature}.`);
  const value = read.values[feature];
  if (Array.isArray(value)) return value;
  if (value !== null) return [value];
  if (missing !== undefined) return new Array<number>(read.sizes[feature] ?? 1).fill(missing);
  const why = read.reason === null ? 'is null' : WHY[read.reason];
  throw new AppError(
    'feature_unavailable',
    `${view}.${feature} of ${read.entity} ${why}; write it, or give the input a "missing" value.`,
  );
}

/** Whole inputs of booleans stay booleans; among numbers they are 1 and 0. */
function asNumbers(values: readonly unknown[]): readonly unknown[] {
  if (values.every((value) => typeof value === 'boolean')) return values;
  return values.map((value) => (typeof value === 'boolean' ? Number(value) : value));
}

/**
 * The body with every input `{"from": ["view.feature", …], "missing": 0}` replaced by the values of its features now, so
 * that it is read, checked and recorded as if the caller had sent them. What lies before the features stays where it is.
 * @throws AppError `invalid_request`, `unknown_field`, `feature_unavailable`, what the feature store throws
 */
export async function fillInputs(
  body: Buffer,
  featuresAt: number,
  caller: { tenant: string; entities: EntityKeys; read: FeatureReader },
): Promise<Buffer> {
  const { members } = objectMembers(body, featuresAt);
  const made = members
    .filter(({ start }) => body[start] === OPEN_OBJECT)
    .map((member) => readMade(body, member));
  const views = [...new Set(made.flatMap(({ from }) => from.map(({ view }) => view)))];
  if (views.length === 0) return body;
  if (views.length > READ_VIEWS_MAX) throw invalid('features', `names more than ${READ_VIEWS_MAX} views.`);
  const read = new Map(
    (await caller.read(caller.tenant, caller.entities, views)).map((one) => [one.view, one]),
  );
  const pieces: Buffer[] = [];
  let at = 0;
  for (const { member, from, missing } of made) {
    const values = from.flatMap((reference) => {
      const one = read.get(reference.view);
      if (one === undefined)
        throw new AppError('feature_view_not_found', `No values came of ${reference.view}.`);
      return valuesOf(one, reference, missing);
    });
    pieces.push(body.subarray(at, member.start), Buffer.from(JSON.stringify(asNumbers(values))));
    at = member.end;
  }
  return Buffer.concat([...pieces, body.subarray(at)]);
}
