import type { AppError, ErrorCode } from '@millrace/contracts';

/** Status codes of gRPC. */
export const STATUS = {
  ok: 0,
  cancelled: 1,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/** Codes whose status says more than that of HTTP does. */
const BY_CODE: Readonly<Partial<Record<ErrorCode, number>>> = {
  queue_full: STATUS.resourceExhausted,
  payload_too_large: STATUS.resourceExhausted,
  // clients send UNAVAILABLE again by themselves, and this input may be what ended the process
  model_crashed: STATUS.aborted,
  route_not_found: STATUS.unimplemented,
};

const BY_HTTP: Readonly<Record<number, number>> = {
  400: STATUS.invalidArgument,
  401: STATUS.unauthenticated,
  403: STATUS.permissionDenied,
  404: STATUS.notFound,
  409: STATUS.failedPrecondition,
  413: STATUS.invalidArgument,
  415: STATUS.invalidArgument,
  421: STATUS.permissionDenied,
  422: STATUS.failedPrecondition,
  429: STATUS.resourceExhausted,
  499: STATUS.cancelled,
  502: STATUS.unavailable,
  503: STATUS.unavailable,
  504: STATUS.deadlineExceeded,
};

/** The gRPC status of an error. */
export function grpcStatus(error: AppError): number {
  return BY_CODE[error.code] ?? BY_HTTP[error.status] ?? STATUS.internal;
}

/** A text as `grpc-message` carries it: printable ASCII, everything else and the percent sign as `%XX` of its UTF-8. */
export function percentEncode(text: string): string {
  return text.replaceAll(/[^ -$&-~]+/g, (part) =>
    Array.from(Buffer.from(part), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
}

const UNIT_MS: Readonly<Record<string, number>> = {
  n: 1e-6,
  u: 1e-3,
  m: 1,
  S: 1_000,
  M: 60_000,
  H: 3_600_000,
};

/** Milliseconds of a `grpc-timeout`; undefined when there is none or it cannot be read. */
export function timeoutMs(header: string | string[] | undefined): number | undefined {
  const [, digits, unit] = typeof header === 'string' ? (/^(\d{1,8})([numSMH])$/.exec(header) ?? []) : [];
  return digits === undefined ? undefined : Number(digits) * (UNIT_MS[unit as string] as number);
}
