import type { FeatureEntity, FeatureSpec } from '@millrace/contracts';
import { AppError, FEATURES_MAX } from '@millrace/contracts';

/** Parts of paths under /v1/features that a view cannot be called. */
const RESERVED: ReadonlySet<string> = new Set(['views', 'training-sets']);

/** A definition that cannot be; `field` is its path in the body. */
export function invalidView(field: string, fault: string): AppError {
  return new AppError('invalid_feature_view', `body.${field} ${fault}`, { details: { field } });
}

/** @throws AppError `invalid_feature_view` */
export function assertViewName(name: string): void {
  if (RESERVED.has(name)) throw invalidView('name', `cannot be '${name}', which is part of other paths.`);
}

/**
 * Checks features that join those there are; `field` is the list in the body.
 * @throws AppError `invalid_feature_view`
 */
export function assertFeatures(
  field: string,
  features: readonly FeatureSpec[],
  present: readonly FeatureSpec[] = [],
): void {
  if (present.length + features.length > FEATURES_MAX)
    throw invalidView(field, `would make more than ${FEATURES_MAX} features; make another view.`);
  const names = new Set(present.map(({ name }) => name));
  for (const [index, { name, type, size }] of features.entries()) {
    if (names.has(name)) throw invalidView(`${field}.${index}.name`, `is '${name}', which is there already.`);
    names.add(name);
    if ((type === 'vector') !== (size !== undefined))
      throw invalidView(
        `${field}.${index}.size`,
        type === 'vector' ? 'is missing: how many elements the vector has.' : `is for vectors only.`,
      );
  }
}

/**
 * Checks that an entity has keys of one type in all views of a tenant, so that their values can be joined.
 * @throws AppError `invalid_feature_view`
 */
export function assertEntity(
  { name, keyType }: FeatureEntity,
  other: { name: string; keyType: string } | undefined,
): void {
  if (other !== undefined && other.keyType !== keyType)
    throw invalidView(
      'entity.keyType',
      `is ${keyType}, but the view ${other.name} of the same entity '${name}' has ${other.keyType}.`,
    );
}
