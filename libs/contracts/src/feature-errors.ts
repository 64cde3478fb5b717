import type { ErrorKind } from './error-kind.ts';

/** What can be wrong with feature views and their values. */
export const featureErrors = {
  feature_view_not_found: { status: 404, retryable: false, doc: 'No feature view has this name or id.' },
  feature_entity_not_found: { status: 404, retryable: false, doc: 'The view has no row of this entity.' },
  feature_view_exists: {
    status: 409,
    retryable: false,
    doc: 'A feature view of this name is there with another definition; change it with PATCH or choose another name.',
  },
  invalid_feature_view: {
    status: 422,
    retryable: false,
    doc: 'The definition of a feature view contradicts itself or another view; the message names the field.',
  },
  feature_unavailable: {
    status: 422,
    retryable: false,
    doc: 'A prediction asks for a feature that has no value now: never written, past its TTL, or null; write it, or give the input a value for what is missing.',
  },
  invalid_feature_row: {
    status: 422,
    retryable: false,
    doc: 'A row does not fit its feature view or has an impossible time; the message names the row and the field. Nothing was written.',
  },
} as const satisfies Record<string, ErrorKind>;
