import type { Bus, InferLane } from '@millrace/bus';
import { INFER_HEADER, inferJobSubject, inferSubject, mailboxSubject } from '@millrace/bus';
import { newId } from '@millrace/contracts';
import type { MsgHdrs } from '@nats-io/transport-node';
import { headers as createHeaders } from '@nats-io/transport-node';
import { ROW } from './serving.ts';

/** An answer of the bus as a client reads it. */
export type BusAnswer = {
  headers: MsgHdrs | undefined;
  /** What its JSON part says. */
  json: Record<string, unknown> & { error?: { code: string; message: string } };
  /** The bytes after it. */
  binary: Buffer;
};

export function toAnswer(message: { data: Uint8Array; headers?: MsgHdrs | undefined }): BusAnswer {
  const bytes = Buffer.from(message.data);
  const length = message.headers?.get(INFER_HEADER.jsonBytes) || bytes.length;
  const json = JSON.parse(bytes.toString('utf8', 0, Number(length))) as BusAnswer['json'];
  return { headers: message.headers, json, binary: bytes.subarray(Number(length)) };
}

export function headersOf(fields: Record<string, string>): MsgHdrs {
  const head = createHeaders();
  for (const [name, value] of Object.entries(fields)) head.set(name, value);
  return head;
}

/** A JSON body for a model made of the classifier fixture. */
export function classifierBody(more: object = {}, input: object = {}): string {
  const tensor = { name: 'float_input', shape: [1, 10], datatype: 'FP32', data: ROW, ...input };
  return JSON.stringify({ inputs: [tensor], ...more });
}

/** Asks by request/reply. */
export async function ask(
  bus: Bus,
  modelId: string,
  body: string | Uint8Array,
  fields: Record<string, string> = {},
): Promise<BusAnswer> {
  const message = await bus.nc.request(inferSubject(modelId), body, {
    timeout: 20_000,
    headers: headersOf(fields),
  });
  return toAnswer(message);
}

export type Job = { lane?: InferLane; modelId: string; body: string; mailbox: string; id?: string };

/** Stores a request for later; gives its id. */
export async function submit(bus: Bus, job: Job, fields: Record<string, string> = {}): Promise<string> {
  const id = job.id ?? newId();
  await bus.js.publish(inferJobSubject(job.lane ?? 'normal', job.modelId), job.body, {
    msgID: id,
    headers: headersOf({ [INFER_HEADER.replyTo]: mailboxSubject(job.mailbox), ...fields }),
  });
  return id;
}

/** Every message of a mailbox so far, by the last part of its subject, oldest first. */
export async function readMailbox(
  bus: Bus,
  mailbox: string,
): Promise<{ id: string; messageId: string; answer: BusAnswer }[]> {
  const consumer = await bus.js.consumers.get('MILLRACE_RESULTS', {
    filter_subjects: [`${mailboxSubject(mailbox)}.*`],
  });
  const found = [];
  const info = await consumer.info();
  if (info.num_pending === 0) return [];
  const messages = await consumer.fetch({ max_messages: info.num_pending, expires: 5_000 });
  for await (const message of messages)
    found.push({
      id: message.subject.slice(message.subject.lastIndexOf('.') + 1),
      messageId: message.headers?.get('Nats-Msg-Id') ?? '',
      answer: toAnswer(message),
    });
  return found;
}
