import type { ErrorKind } from './error-kind.ts';

/** Codes of signing, exported bundles, uploads in parts and the collection of what nobody needs. */
export const bundleErrors = {
  invalid_bundle: {
    status: 422,
    retryable: false,
    doc: 'The bundle is not as an export makes it: cut off, a file too many or missing, a link, a device, or a bound exceeded; export it again.',
  },
  certificate_untrusted: {
    status: 422,
    retryable: false,
    doc: 'The certificate chain of a signature does not lead to a trusted one; trust its root or sign again.',
  },
  certificate_invalid: {
    status: 422,
    retryable: false,
    doc: 'A certificate of a signature is expired, not yet valid, not meant for signing or cannot be read; the message says which.',
  },
  signer_unavailable: {
    status: 503,
    retryable: true,
    doc: 'The program that signs for the registry failed, took too long or made a signature that does not verify; look at it and try again.',
  },
  upload_not_found: { status: 404, retryable: false, doc: 'No upload in parts has this id.' },
  upload_not_open: {
    status: 409,
    retryable: false,
    doc: 'The upload in parts takes no more parts: it is being completed, or over; its state says which.',
  },
  upload_incomplete: {
    status: 409,
    retryable: false,
    doc: 'A part of the upload has not come whole; the message names it. Send it and complete the upload again.',
  },
  upload_limit_reached: {
    status: 429,
    retryable: true,
    doc: 'As many uploads in parts are open as one tenant may have; complete or abort one.',
  },
} as const satisfies Record<string, ErrorKind>;
