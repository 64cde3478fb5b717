import type { Bus } from '@millrace/bus';
import { endSubscription, inferSubject } from '@millrace/bus';
import { AppError } from '@millrace/contracts';
import type { Logger } from '@millrace/service-kit';
import { toAppError } from '@millrace/service-kit';
import type { Msg } from '@nats-io/transport-node';
import { headers as createHeaders } from '@nats-io/transport-node';
import type { BusInfer } from './bus-infer.ts';
import { readBusRequest } from './bus-infer.ts';
import type { BusReply } from './bus-reply.ts';
import { errorReply, toBusReply } from './bus-reply.ts';

/** Bounds of what is in hand at once, and of one request. */
export type RpcLimits = { requestsMax: number; bytesMax: number; bodyBytesMax: number };

/** Takes no new requests, and resolves when those in hand are answered. */
export type Door = { close(): Promise<void> };

function respond(message: Msg, { data, headers }: BusReply): void {
  const head = createHeaders();
  for (const [name, value] of Object.entries(headers)) head.set(name, value);
  message.respond(data, { headers: head });
}

/**
 * Answers `millrace.rpc.inference.infer.<modelId>`. One subscription to all models in the queue group of the service:
 * one for each model would not do for thousands of them, and any front can load any model. What comes over the bounds is
 * refused at once, so that nothing waits in the memory of the client library.
 */
export function openRpcDoor(
  deps: { bus: Bus; infer: BusInfer; logger: Logger },
  { requestsMax, bytesMax, bodyBytesMax }: RpcLimits,
): Door {
  const { bus, infer, logger } = deps;
  const inHand = new Set<Promise<void>>();
  let bytesInHand = 0;

  async function answer(message: Msg): Promise<BusReply> {
    try {
      const modelId = message.subject.slice(message.subject.lastIndexOf('.') + 1);
      const request = readBusRequest(message, modelId, bodyBytesMax);
      return toBusReply(bus, await infer.run(request, await infer.find(request)));
    } catch (raw) {
      const error = toAppError(raw, bodyBytesMax);
      if (error.code === 'internal') logger.error({ err: error.cause ?? error }, error.message);
      return errorReply(error);
    }
  }

  async function handle(message: Msg): Promise<void> {
    const bytes = message.data.length;
    bytesInHand += bytes;
    const reply = await answer(message);
    bytesInHand -= bytes;
    try {
      respond(message, reply);
    } catch (error) {
      logger.warn({ err: error }, 'An answer over NATS could not be sent.');
    }
  }

  function refuse(message: Msg): void {
    const what = `${inHand.size} requests with ${bytesInHand} bytes`;
    respond(message, errorReply(new AppError('queue_full', `This server has ${what} in hand; try again.`)));
  }

  const subscription = bus.nc.subscribe(inferSubject('*'), {
    queue: 'inference',
    callback(error, message) {
      // without a place for the answer nobody would read it
      if (error !== null || message.reply === undefined || message.reply === '') return;
      const isFull =
        inHand.size >= requestsMax || (inHand.size > 0 && bytesInHand + message.data.length > bytesMax);
      if (isFull) return refuse(message);
      const work = handle(message).finally(() => inHand.delete(work));
      inHand.add(work);
    },
  });

  return {
    async close() {
      await endSubscription(bus, subscription);
      await Promise.allSettled(inHand);
    },
  };
}
