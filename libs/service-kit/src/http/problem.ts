import type { ErrorCode } from '@millrace/contracts';
import { AppError, errorCatalog, isAppError } from '@millrace/contracts';
import { toDatabaseError } from '@millrace/database';
import type { Static } from 'typebox';
import Type from 'typebox';
import type { ExpressReply } from '../express/reply-head.ts';
import type { Logger } from '../logger.ts';

export const PROBLEM_CONTENT_TYPE = 'application/problem+json';
/** Seconds that `Retry-After` gives when the error does not say how long to wait. */
const RETRY_AFTER_SECONDS = 1;

/** An error as HTTP shows it (RFC 9457), with the stable `code` of the catalogue and `error` for older clients. */
export const Problem = Type.Object({
  type: Type.String({ description: 'urn:millrace:error:<code>' }),
  title: Type.String({ description: 'What the code means in general.' }),
  status: Type.Integer(),
  code: Type.String({ description: 'Stable code of the error catalogue.' }),
  detail: Type.String({ description: 'What happened this time and what to do.' }),
  instance: Type.String({ description: 'Id of the request, as in X-Request-Id and in the logs.' }),
  error: Type.String({ description: 'Same as detail.' }),
  details: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
});
export type Problem = Static<typeof Problem>;

/** The problem document of an AppError. */
export function toProblem(error: AppError, requestId: string): Problem {
  return {
    type: `urn:millrace:error:${error.code}`,
    title: errorCatalog[error.code].doc,
    status: error.status,
    code: error.code,
    detail: error.message,
    instance: requestId,
    error: error.message,
    ...(error.details === undefined ? {} : { details: { ...error.details } }),
  };
}

/** Seconds for `Retry-After`: of the error's `details.retryAfterSeconds`, else 1; undefined when waiting is no help. */
export function retryAfterSeconds(error: AppError): number | undefined {
  if (error.status !== 429 && error.status !== 503) return undefined;
  const given = error.details?.retryAfterSeconds;
  return typeof given === 'number' && given > 0 ? Math.ceil(given) : RETRY_AFTER_SECONDS;
}

/** An error as an answer: its problem document and the headers that go with it. Logs what is no fault of the caller. */
export function problemReply(
  raw: unknown,
  bodyLimitBytes: number,
  request: { id: string; url: string; log: Pick<Logger, 'error' | 'warn'> },
): ExpressReply {
  const error = toAppError(raw, bodyLimitBytes);
  if (error.status >= 500) {
    const level = error.code === 'internal' ? 'error' : 'warn';
    request.log[level]({ err: error.cause ?? error, code: error.code, url: request.url }, error.message);
  }
  const headers = ['content-type', PROBLEM_CONTENT_TYPE];
  const retryAfter = retryAfterSeconds(error);
  if (retryAfter !== undefined) headers.push('retry-after', String(retryAfter));
  if (error.code === 'auth_required') headers.push('www-authenticate', 'Bearer');
  if (error.code === 'token_invalid') headers.push('www-authenticate', 'Bearer error="invalid_token"');
  return { status: error.status, headers, body: JSON.stringify(toProblem(error, request.id)) };
}

type ValidationFault = {
  keyword: string;
  instancePath: string;
  message?: string;
  params?: Readonly<Record<string, unknown>>;
};
/** The fields of Fastify's and Node's errors that decide what an error is. */
type FrameworkError = {
  code?: unknown;
  statusCode?: unknown;
  message?: unknown;
  validation?: readonly ValidationFault[];
  validationContext?: string;
};

/** Turns whatever a request ended with into an AppError; what is not known becomes `internal` without its message. */
export function toAppError(raw: unknown, bodyLimitBytes: number): AppError {
  // a statement outside a transaction fails with the driver's own error when Postgres is away
  const error = toDatabaseError(raw);
  if (isAppError(error)) return error;
  const known = (typeof error === 'object' && error !== null ? error : {}) as FrameworkError;
  if (known.validation !== undefined)
    return validationError(known.validation, known.validationContext ?? 'body');
  const code = typeof known.code === 'string' ? frameworkCode(known.code) : undefined;
  if (code === 'payload_too_large') {
    return new AppError(code, `The body is over the bound of this route, ${bodyLimitBytes} bytes.`, {
      details: { limitBytes: bodyLimitBytes },
    });
  }
  if (code === 'invalid_json') return new AppError(code, 'The body is not valid JSON.');
  if (code !== undefined) return new AppError(code, String(known.message));
  const status = known.statusCode;
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return error instanceof SyntaxError
      ? new AppError('invalid_json', 'The body is not valid JSON.')
      : new AppError('invalid_request', String(known.message));
  }
  return new AppError('internal', 'The platform did not expect this; its log has the request id.', {
    cause: error,
  });
}

function frameworkCode(code: string): ErrorCode | undefined {
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return 'payload_too_large';
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return 'unsupported_media_type';
    case 'FST_ERR_CTP_INVALID_JSON_BODY':
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
      return 'invalid_json';
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
    case 'FST_ERR_BAD_URL':
    case 'ECONNRESET':
    case 'ERR_STREAM_PREMATURE_CLOSE':
      return 'invalid_request';
    default:
      return undefined;
  }
}

function validationError(faults: readonly ValidationFault[], context: string): AppError {
  const fault = faults[0];
  if (fault === undefined)
    return new AppError('invalid_request', `The ${context} does not match its schema.`);
  const field = fieldName(context, fault.instancePath);
  if (fault.keyword === 'additionalProperties') {
    const name = String(fault.params?.additionalProperty ?? fault.params?.additionalProperties);
    return new AppError(
      'unknown_field',
      `${field} has a field '${name}' that is not known here; remove it.`,
      {
        details: { field: name },
      },
    );
  }
  const allowed = fault.params?.allowedValues;
  const message = Array.isArray(allowed)
    ? `must be one of ${allowed.join(', ')}`
    : (fault.message ?? 'is wrong');
  return new AppError('invalid_request', `${field} ${message}.`, { details: { field } });
}

/** `/features/0` in the body is called `body.features.0`. */
function fieldName(context: string, instancePath: string): string {
  const path = instancePath
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  return [context, ...path].join('.');
}
