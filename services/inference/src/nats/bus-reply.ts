import type { Bus } from '@millrace/bus';
import { INFER_HEADER } from '@millrace/bus';
import { AppError } from '@millrace/contracts';
import { retryAfterSeconds } from '@millrace/service-kit';
import type { InferReply } from '../v2/infer-reply.ts';

/** Room that a message leaves for its headers, within the server's largest message (bytes). */
const HEADERS_BYTES_MAX = 2 * 1024;
/** Largest message of a server that does not say (bytes). */
const MESSAGE_BYTES_DEFAULT = 1024 * 1024;

/** An answer as it goes over the bus. */
export type BusReply = { readonly data: string | Buffer; readonly headers: Record<string, string> };

/** An answer of a model. Throws `payload_too_large` when no message of this server holds it. */
export function toBusReply(bus: Bus, reply: InferReply): BusReply {
  const { body, jsonBytes, contentType } = reply;
  const bytesMax = (bus.nc.info?.max_payload ?? MESSAGE_BYTES_DEFAULT) - HEADERS_BYTES_MAX;
  const bytes = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
  if (bytes > bytesMax) {
    throw new AppError(
      'payload_too_large',
      `The answer has ${bytes} bytes, over the ${bytesMax} that a message takes; ask for binary data, fewer rows or outputs, or use HTTP.`,
    );
  }
  return {
    data: body,
    headers: {
      'content-type': contentType,
      ...(jsonBytes !== undefined && { [INFER_HEADER.jsonBytes]: String(jsonBytes) }),
    },
  };
}

/** An error as every request/reply method gives it, with its code beside it. */
export function errorReply(error: AppError): BusReply {
  const retryAfter = retryAfterSeconds(error);
  return {
    data: JSON.stringify({ error: { code: error.code, message: error.message } }),
    headers: {
      'content-type': 'application/json',
      [INFER_HEADER.code]: error.code,
      ...(retryAfter !== undefined && { 'retry-after': String(retryAfter) }),
    },
  };
}
