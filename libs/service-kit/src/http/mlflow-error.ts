import type { AppError, ErrorCode } from '@millrace/contracts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { BODY_LIMIT_BYTES } from './create-http.ts';
import { retryAfterSeconds, toAppError } from './problem.ts';

/** Codes that MLflow's clients know for what the status alone does not say. */
const BY_CODE: Partial<Record<ErrorCode, readonly [code: string, status: number]>> = {
  route_not_found: ['ENDPOINT_NOT_FOUND', 404],
  name_taken: ['RESOURCE_ALREADY_EXISTS', 400],
  model_conflict: ['RESOURCE_ALREADY_EXISTS', 400],
  invalid_json: ['BAD_REQUEST', 400],
  unsupported_media_type: ['BAD_REQUEST', 400],
  artifact_missing: ['RESOURCE_DOES_NOT_EXIST', 404],
};
const BY_STATUS: Readonly<Record<number, string>> = {
  400: 'INVALID_PARAMETER_VALUE',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'RESOURCE_DOES_NOT_EXIST',
  405: 'ENDPOINT_NOT_FOUND',
  409: 'RESOURCE_CONFLICT',
  412: 'RESOURCE_CONFLICT',
  413: 'INVALID_PARAMETER_VALUE',
  421: 'PERMISSION_DENIED',
  422: 'INVALID_PARAMETER_VALUE',
  429: 'REQUEST_LIMIT_EXCEEDED',
  499: 'CANCELLED',
  503: 'TEMPORARILY_UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
};

/** The shape of every error below MLflow's prefixes; `millrace_code` is ours from the catalogue. */
type MlflowError = { error_code: string; message: string; millrace_code: string };

/** An error as MLflow's clients read it, with its status. */
function mlflowErrorOf(error: AppError): { status: number; body: MlflowError } {
  const [code, status] = BY_CODE[error.code] ?? [BY_STATUS[error.status] ?? 'INTERNAL_ERROR', error.status];
  return { status, body: { error_code: code, message: error.message, millrace_code: error.code } };
}

/** Answers a request below MLflow's prefixes with an error in MLflow's shape. Logs what is no fault of the caller. */
export function answerMlflowError(raw: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const error = toAppError(raw, request.routeOptions?.bodyLimit ?? BODY_LIMIT_BYTES);
  if (error.status >= 500)
    request.log[error.code === 'internal' ? 'error' : 'warn'](
      { err: error.cause ?? error, code: error.code, url: request.url },
      error.message,
    );
  const retryAfter = retryAfterSeconds(error);
  if (retryAfter !== undefined) void reply.header('retry-after', String(retryAfter));
  if (error.code === 'auth_required')
    void reply.header('www-authenticate', 'Bearer, Basic realm="Millrace", charset="UTF-8"');
  const { status, body } = mlflowErrorOf(error);
  return reply
    .code(status)
    .header('content-type', 'application/json')
    .serializer((text: unknown) => text as string)
    .send(JSON.stringify(body));
}
