import { AppError } from '@millrace/contracts';

/** Lanes of inference requests that are answered later; what waits in an earlier one goes first. */
export const inferLanes = ['high', 'normal'] as const;
export type InferLane = (typeof inferLanes)[number];

/** Headers of an inference request or answer on the bus, beside those of CloudEvents. */
export const INFER_HEADER = {
  /** Bytes of the JSON in front of binary tensors, as over HTTP. */
  jsonBytes: 'Inference-Header-Content-Length',
  /** The instant (RFC 3339) after which nobody waits for the answer. */
  deadline: 'millrace-deadline',
  /** 1 is run first; as the parameter `priority` of the protocol. */
  priority: 'millrace-priority',
  /** The mailbox for the answer: `millrace.result.<mailbox>`. */
  replyTo: 'millrace-reply-to',
  /** Code of the catalogue; only an answer that is an error has it. */
  code: 'millrace-code',
} as const;

const RESULT_PREFIX = 'millrace.result.';
const MAILBOX = /^[A-Za-z0-9_-]{1,64}$/;

/** Subject on which a model is asked and answers at once: `millrace.rpc.inference.infer.<modelId>`. */
export function inferSubject(modelId: string): string {
  return `millrace.rpc.inference.infer.${modelId}`;
}

/** Subject of requests to a model that are answered later: `millrace.infer.<lane>.<modelId>`. */
export function inferJobSubject(lane: InferLane, modelId: string): string {
  return `millrace.infer.${lane}.${modelId}`;
}

/** What a request gives as `millrace-reply-to`; read the answers from `<this>.*`. Throws `invalid_request`. */
export function mailboxSubject(mailbox: string): string {
  if (MAILBOX.test(mailbox)) return RESULT_PREFIX + mailbox;
  throw new AppError('invalid_request', 'A mailbox has 1 to 64 letters, digits, hyphens and underscores.');
}

/**
 * Subject of one answer: that of the mailbox and the id of the request. Nothing but a mailbox can be named, so a request
 * cannot have its answer put among jobs or facts. Throws `invalid_request`.
 */
export function resultSubject(replyTo: string, requestId: string): string {
  if (replyTo.startsWith(RESULT_PREFIX))
    return `${mailboxSubject(replyTo.slice(RESULT_PREFIX.length))}.${requestId}`;
  throw new AppError(
    'invalid_request',
    `${INFER_HEADER.replyTo} must be ${RESULT_PREFIX}<mailbox>; answers go nowhere else.`,
  );
}
