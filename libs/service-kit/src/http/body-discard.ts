import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyReply } from 'fastify';

/** How much is still received of a body that nobody wants, so that its sender comes to read the answer. */
export type DiscardBounds = {
  readonly bytesMax: number;
  /** From the answer on. */
  readonly timeoutMs: number;
  /** A sender that pauses this long has read the answer, or went away. */
  readonly idleMs: number;
};

/** As large as the largest file that a route takes, within the time that web servers commonly linger. */
const discardBounds: DiscardBounds = { bytesMax: 4 * 1024 ** 3, timeoutMs: 30_000, idleMs: 5_000 };

/**
 * Reads what is left of the body of every answered request to nowhere, within bounds. A connection that is closed with
 * unread bytes is reset, and a client that sends all before it reads would see that instead of the answer.
 */
export function addBodyDiscard(app: FastifyInstance, bounds: DiscardBounds = discardBounds): void {
  // after such an answer Node closes at once, so here the body goes first
  app.addHook('onSend', (request, reply, _payload, done) => {
    if (!isClosedAfter(reply) || !isBodyLeft(request.raw)) return done();
    discard(request.raw, bounds, () => done());
  });
  app.addHook('onResponse', (request, _reply, done) => {
    if (isBodyLeft(request.raw)) discard(request.raw, bounds, (isOver) => isOver || request.raw.destroy());
    done();
  });
}

/** Whether the client or the answer asks for the end of the connection. */
const isClosedAfter = (reply: FastifyReply): boolean =>
  !reply.raw.shouldKeepAlive || reply.getHeader('connection') === 'close';

/** Also one that has come and that nobody has read: it would hold up what follows on its connection. */
function isBodyLeft({ readableEnded, destroyed, headers }: IncomingMessage): boolean {
  const hasBody = Number(headers['content-length'] ?? 0) > 0 || headers['transfer-encoding'] !== undefined;
  return hasBody && !readableEnded && !destroyed;
}

/** A piped or paused body would block its connection. Tells once whether it was over before the bounds were. */
function discard(
  body: IncomingMessage,
  { bytesMax, timeoutMs, idleMs }: DiscardBounds,
  tell: (isOver: boolean) => void,
): void {
  let bytesLeft = bytesMax;
  const end = (isOver: boolean): void => {
    clearTimeout(timer);
    clearTimeout(idle);
    body.off('end', over).off('close', over).off('data', count).pause();
    tell(isOver);
  };
  const over = (): void => end(true);
  const count = (chunk: Buffer): void => {
    bytesLeft -= chunk.length;
    if (bytesLeft < 0) end(false);
    else idle.refresh();
  };
  const timer = setTimeout(end, timeoutMs, false).unref();
  const idle = setTimeout(end, idleMs, false).unref();
  body.unpipe();
  body.once('end', over).once('close', over).on('data', count).resume();
}
