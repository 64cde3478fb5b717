import type { Bus } from '@millrace/bus';
import { messageHeaders } from '@millrace/bus';
import { JetStreamApiError } from '@nats-io/jetstream';
import { headers as createHeaders } from '@nats-io/transport-node';
import type { BusReply } from './bus-reply.ts';
import type { JobAddress } from './job-request.ts';

/** Time for the acknowledgement of one answer (ms). */
const ACK_TIMEOUT_MS = 5_000;
/** JetStream: the subject has a message already; the second code comes without its sequence. */
const ANSWERED_BEFORE: ReadonlySet<number> = new Set([10_071, 10_164]);

/**
 * Stores an answer once: each request has a subject of its own, and a second message on it is refused for as long as the
 * first is kept. So a request that is run again, however late, changes nothing. Resolves when the answer is stored.
 */
export async function publishResult(bus: Bus, address: JobAddress, reply: BusReply): Promise<void> {
  const fields = messageHeaders({
    id: address.resultId,
    type: 'dev.millrace.inference.answered.v1',
    source: 'inference',
    subject: address.modelId,
    time: new Date(),
  });
  const { 'content-type': contentType = 'application/json', ...more } = reply.headers;
  const head = createHeaders();
  for (const [name, value] of Object.entries({ ...fields, ...more, 'ce-datacontenttype': contentType }))
    head.set(name, value);
  try {
    await bus.js.publish(address.resultSubject, reply.data, {
      msgID: address.resultId,
      headers: head,
      timeout: ACK_TIMEOUT_MS,
      expect: { lastSubjectSequence: 0 },
    });
  } catch (error) {
    if (error instanceof JetStreamApiError && ANSWERED_BEFORE.has(error.code)) return;
    throw error;
  }
}
