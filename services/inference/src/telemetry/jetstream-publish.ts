import type { Bus } from '@millrace/bus';
import { messageHeaders } from '@millrace/bus';
import { headers } from '@nats-io/transport-node';
import type { PublishBatch } from './prediction-publisher.ts';

/** Time for the acknowledgement of one batch (ms). */
const ACK_TIMEOUT_MS = 5_000;

/** Publishes batches to JetStream; the batch id is the message id, so a batch sent twice is stored once. */
export function createJetStreamPublish(bus: Bus): PublishBatch {
  return async (subject, payload, messageId) => {
    const fields = messageHeaders({
      id: messageId,
      type: 'dev.millrace.prediction.batch.v1',
      source: 'inference',
      subject: subject.slice(subject.lastIndexOf('.') + 1),
      time: new Date(),
    });
    const head = headers();
    for (const [name, value] of Object.entries(fields)) head.set(name, value);
    await bus.js.publish(subject, payload, { msgID: messageId, headers: head, timeout: ACK_TIMEOUT_MS });
  };
}
