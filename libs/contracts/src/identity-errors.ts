import type { ErrorKind } from './error-kind.ts';

/** What can be wrong with keys, principals and tenants. */
export const identityErrors = {
  token_invalid: {
    status: 401,
    retryable: false,
    doc: 'The token of the identity provider is not accepted; the message says why. Get a new one.',
  },
  key_not_found: { status: 404, retryable: false, doc: 'No API key has this id.' },
  key_limit_reached: {
    status: 409,
    retryable: false,
    doc: 'There are as many valid API keys as the platform holds; revoke some first.',
  },
  principal_not_found: { status: 404, retryable: false, doc: 'No principal has this id.' },
  principal_exists: {
    status: 409,
    retryable: false,
    doc: 'A principal of this id is there already; change it with PATCH or choose another id.',
  },
  principal_disabled: {
    status: 409,
    retryable: false,
    doc: 'The principal or its tenant is disabled, so that it gets no key; enable it first.',
  },
  last_admin: {
    status: 409,
    retryable: false,
    doc: 'The tenant would have no admin any more; make another principal admin first.',
  },
  quota_exceeded: {
    status: 429,
    retryable: true,
    doc: 'The tenant is over one of its bounds, which the message names; wait for Retry-After seconds or ask for more.',
  },
  quota_reached: {
    status: 403,
    retryable: false,
    doc: 'The tenant has as much of this as it may; the message says of what, and how much. Remove some or ask for more.',
  },
  file_not_owned: {
    status: 404,
    retryable: false,
    doc: 'No file of this digest belongs to the tenant; name one of its own trainings, conversions, datasets or models.',
  },
  tenant_not_found: { status: 404, retryable: false, doc: 'No tenant has this id.' },
  tenant_exists: {
    status: 409,
    retryable: false,
    doc: 'A tenant of this id is there already; change it with PATCH or choose another id.',
  },
  tenant_forbidden: {
    status: 403,
    retryable: false,
    doc: "Only admins of the platform's own tenant look after other tenants.",
  },
  identity_limit_reached: {
    status: 409,
    retryable: false,
    doc: 'There are as many of these as the platform holds; the message gives the bound.',
  },
} as const satisfies Record<string, ErrorKind>;
