import { AppError, isAppError } from '@millrace/contracts';
import type { JsMsg, StoredMsg } from '@nats-io/jetstream';
import type { MsgHdrs } from '@nats-io/transport-node';
import { headers as createHeaders } from '@nats-io/transport-node';
import type { Bus } from './bus.ts';
import { HEADER } from './headers.ts';
import { streamCatalog } from './streams.ts';

const STREAM = streamCatalog.deadLetters.name;
const REASON = {
  consumer: 'millrace-dlq-consumer',
  code: 'millrace-dlq-code',
  message: 'millrace-dlq-message',
  subject: 'millrace-dlq-subject',
  stream: 'millrace-dlq-stream',
  sequence: 'millrace-dlq-sequence',
  deliveries: 'millrace-dlq-deliveries',
} as const;
const MAX_REASON_CHARS = 2_000;

/** A message that was given up, and why. */
export type DeadLetter = {
  /** Position in the dead-letter stream; its name in every command. */
  sequence: number;
  time: string;
  consumer: string;
  subject: string;
  messageId: string;
  code: string;
  message: string;
  deliveries: number;
  payload: string;
};

/** A header value may not hold line breaks; errors often do. */
function headerText(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, ' ').slice(0, MAX_REASON_CHARS);
}

/** Headers of a dead letter that a service writes itself through its outbox; `subject` is where a redrive sends it. */
export function deadLetterHeaders(letter: {
  consumer: string;
  subject: string;
  code: string;
  message: string;
  deliveries: number;
}): Record<string, string> {
  return {
    [REASON.consumer]: letter.consumer,
    [REASON.subject]: letter.subject,
    [REASON.code]: letter.code,
    [REASON.message]: headerText(letter.message),
    [REASON.deliveries]: String(letter.deliveries),
  };
}

/** Stores a copy of a message with the reason, waits for its PubAck, then terminates the original. */
export async function buryMessage(
  bus: Bus,
  dead: { consumer: string; message: JsMsg; error: unknown },
): Promise<void> {
  const { message, error } = dead;
  const headers = createHeaders();
  for (const name of message.headers?.keys() ?? []) headers.set(name, message.headers?.get(name) ?? '');
  // the copy gets a message id of its own, and a redrive must still know that of the message
  const messageId = headers.get('Nats-Msg-Id');
  if (!headers.has(HEADER.id) && messageId !== '') headers.set(HEADER.id, messageId);
  headers.set(REASON.consumer, dead.consumer);
  headers.set(REASON.code, isAppError(error) ? error.code : 'internal');
  headers.set(REASON.message, headerText(error instanceof Error ? error.message : String(error)));
  headers.set(REASON.subject, message.subject);
  headers.set(REASON.stream, message.info.stream);
  headers.set(REASON.sequence, String(message.info.streamSequence));
  headers.set(REASON.deliveries, String(message.info.deliveryCount));
  await bus.js.publish(`millrace.dlq.${dead.consumer}`, message.data, {
    headers,
    msgID: `${dead.consumer}:${message.info.stream}:${message.info.streamSequence}`,
  });
  message.term('given up');
}

function toDeadLetter(stored: StoredMsg): DeadLetter {
  const header = (name: string): string => stored.header.get(name);
  return {
    sequence: stored.seq,
    time: stored.time.toISOString(),
    consumer: header(REASON.consumer),
    subject: header(REASON.subject),
    messageId: header('ce-id') || header('Nats-Msg-Id'),
    code: header(REASON.code),
    message: header(REASON.message),
    deliveries: Number(header(REASON.deliveries)) || 0,
    payload: stored.string(),
  };
}

/** Dead letters from `afterSequence` on, oldest first, at most `limit`. */
export async function listDeadLetters(
  bus: Bus,
  options: { afterSequence?: number; limit: number },
): Promise<DeadLetter[]> {
  const { state } = await bus.jsm.streams.info(STREAM);
  const letters: DeadLetter[] = [];
  let sequence = Math.max(state.first_seq, (options.afterSequence ?? 0) + 1);
  while (letters.length < options.limit && sequence <= state.last_seq) {
    const stored = await bus.jsm.streams.getMessage(STREAM, {
      seq: sequence,
      next_by_subj: 'millrace.dlq.>',
    } as never);
    if (stored === null) break;
    letters.push(toDeadLetter(stored));
    sequence = stored.seq + 1;
  }
  return letters;
}

async function stored(bus: Bus, sequence: number): Promise<StoredMsg> {
  const message = await bus.jsm.streams.getMessage(STREAM, { seq: sequence }).catch(() => null);
  if (message === null) {
    throw new AppError(
      'dead_letter_not_found',
      `There is no dead letter ${sequence}; list them to see which there are.`,
    );
  }
  return message;
}

/** One dead letter. @throws AppError `dead_letter_not_found` */
export async function getDeadLetter(bus: Bus, sequence: number): Promise<DeadLetter> {
  return toDeadLetter(await stored(bus, sequence));
}

/**
 * Publishes a dead letter again under its own subject with a fresh message id (the old one may still be in the
 * duplicate window), then removes it. The CloudEvents id stays, so consumers that took it before drop it.
 */
export async function redriveDeadLetter(bus: Bus, sequence: number): Promise<void> {
  const message = await stored(bus, sequence);
  const headers: MsgHdrs = createHeaders();
  const ours = new Set<string>(Object.values(REASON));
  for (const name of message.header.keys()) {
    if (!ours.has(name) && name !== 'Nats-Msg-Id') headers.set(name, message.header.get(name));
  }
  await bus.js.publish(message.header.get(REASON.subject), message.data, {
    headers,
    msgID: `redrive:${STREAM}:${sequence}`,
  });
  await bus.jsm.streams.deleteMessage(STREAM, sequence);
}

/** Removes a dead letter for good. @throws AppError `dead_letter_not_found` */
export async function dropDeadLetter(bus: Bus, sequence: number): Promise<void> {
  await stored(bus, sequence);
  await bus.jsm.streams.deleteMessage(STREAM, sequence);
}
