import type { InferLane } from '@millrace/bus';
import { HEADER, INFER_HEADER, resultSubject } from '@millrace/bus';
import { AppError } from '@millrace/contracts';
import type { JsMsg } from '@nats-io/jetstream';
import { headerOf } from './bus-infer.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** Message id of a dead letter that was sent back. */
const REDRIVEN = /^redrive:[A-Z_]+:(\d+)$/;

/** Whom a request is answered. */
export type JobAddress = {
  readonly lane: InferLane;
  readonly modelId: string;
  readonly requestId: string;
  /** Message id of the answer: the id of the request; another for a request that was sent back from the dead letters. */
  readonly resultId: string;
  readonly resultSubject: string;
  /** Whether somebody took it out of the dead letters: its deadline then counts no more. */
  readonly isRedriven: boolean;
};

/** Reads where the answer goes. Throws `invalid_request`: without a place nobody can be answered. */
export function readJobAddress(message: JsMsg, lane: InferLane): JobAddress {
  const messageId = headerOf(message, 'Nats-Msg-Id') ?? '';
  const redriven = REDRIVEN.exec(messageId)?.[1];
  const requestId = (headerOf(message, HEADER.id) ?? messageId).toLowerCase();
  if (!UUID.test(requestId)) {
    throw new AppError(
      'invalid_request',
      `${HEADER.id}, or else Nats-Msg-Id, must be the id of the request, a UUID.`,
    );
  }
  const replyTo = headerOf(message, INFER_HEADER.replyTo);
  if (replyTo === undefined)
    throw new AppError('invalid_request', `${INFER_HEADER.replyTo} is missing: the mailbox for the answer.`);
  const resultId = redriven === undefined ? requestId : `${requestId}-redrive-${redriven}`;
  return {
    lane,
    modelId: message.subject.slice(message.subject.lastIndexOf('.') + 1),
    requestId,
    resultId,
    resultSubject: resultSubject(replyTo, resultId),
    isRedriven: redriven !== undefined,
  };
}
