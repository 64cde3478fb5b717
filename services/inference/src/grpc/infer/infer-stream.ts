import { inCallSpan, toAppError } from '@millrace/service-kit';
import type { Call } from '../transport/call.ts';
import type { StreamHandler } from '../transport/grpc-server.ts';
import type { Message } from '../transport/message-reader.ts';
import { plainBytes } from '../transport/message-reader.ts';
import type { Infer } from './infer.ts';
import { writeStreamError } from './infer-response.ts';

/** Requests of one stream that are in hand at once; the stream is not read while there are more. */
export const STREAM_REQUESTS_MAX = 64;

/**
 * ModelStreamInfer: requests of a stream run beside each other, and each is answered when it is done. A request that
 * fails is answered with its error; only what breaks the stream itself ends it.
 */
export function openInferStream(infer: Infer, call: Call, messageBytesMax: number): StreamHandler {
  /** Came in one piece with others and have not begun; there is no more than one piece of them. */
  const waiting: Message[] = [];
  let inHand = 0;
  let hasEnded = false;
  let isWritable = true;

  async function run(message: Message): Promise<void> {
    let reply: Buffer;
    try {
      const bytes = await plainBytes(message, call.headers['grpc-encoding'], messageBytesMax);
      const about = { service: 'inference', method: call.method, metadata: call.headers };
      reply = await inCallSpan(about, () => infer(bytes, call, true));
    } catch (error) {
      reply = writeStreamError(toAppError(error, messageBytesMax), message);
    } finally {
      message.release();
    }
    inHand -= 1;
    if (!call.write(reply)) isWritable = false;
    steer();
  }

  /** Begins what there is room for, and reads on only while there is more and the caller takes the answers. */
  function steer(): void {
    if (call.isOver()) return;
    while (waiting.length > 0 && inHand < STREAM_REQUESTS_MAX && isWritable) {
      inHand += 1;
      void run(waiting.shift() as Message);
    }
    if (inHand >= STREAM_REQUESTS_MAX || waiting.length > 0 || !isWritable) call.stream.pause();
    else call.stream.resume();
    if (hasEnded && inHand === 0 && waiting.length === 0) call.end();
  }

  call.stream.on('drain', () => {
    isWritable = true;
    steer();
  });
  return {
    onMessage(message) {
      waiting.push(message);
      steer();
    },
    onEnd() {
      hasEnded = true;
      steer();
    },
    onClose() {
      for (const message of waiting.splice(0)) message.release();
    },
  };
}
