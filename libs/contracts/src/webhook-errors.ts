import type { ErrorKind } from './error-kind.ts';

/** What can be wrong with webhooks. */
export const webhookErrors = {
  webhook_not_found: { status: 404, retryable: false, doc: 'No webhook has this id.' },
  webhook_delivery_not_found: {
    status: 404,
    retryable: false,
    doc: 'The webhook has no delivery of this event, or it was so long ago that it was removed.',
  },
  webhook_url_not_allowed: {
    status: 422,
    retryable: false,
    doc: 'Webhooks go to http or https addresses outside private networks, without user and password; the message says what is wrong.',
  },
  webhook_limit_reached: {
    status: 409,
    retryable: false,
    doc: 'The tenant has as many webhooks as it may; delete some first.',
  },
} as const satisfies Record<string, ErrorKind>;
