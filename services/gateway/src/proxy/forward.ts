import type { ClientRequest, IncomingMessage } from 'node:http';
import { Agent, request as httpRequest } from 'node:http';
import { Transform } from 'node:stream';
import { AppError } from '@millrace/contracts';
import { freePiece } from '@millrace/service-kit';
import { context, propagation } from '@opentelemetry/api';
import { requestHeaders } from './headers.ts';

/** Longest wait for a TCP connection to a service. */
const CONNECT_TIMEOUT_MS = 2_000;
/** Connections to one service at most; more requests wait for one. */
const SOCKETS_PER_SERVICE_MAX = 256;
/** A service whose answer stops for this long is given up; event streams send something every 15 s. */
const ANSWER_IDLE_TIMEOUT_MS = 60_000;

export type ForwardTarget = {
  readonly service: string;
  readonly origin: string;
  /** Largest body in bytes. */
  readonly bodyBytesMax: number;
  /** Longest silence before the answer begins, in milliseconds; a body that flows is no silence. */
  readonly answerTimeoutMs: number;
};

export type Forwarder = {
  /**
   * Sends a request on to a service, body and all, without holding it in memory, and resolves with the answer once its
   * headers are there. Throws `payload_too_large` or `dependency_unavailable`.
   */
  forward(incoming: IncomingMessage, requestId: string, target: ForwardTarget): Promise<IncomingMessage>;
  close(): void;
};

/** Passes requests on over connections that are kept open. */
export function createForwarder(): Forwarder {
  const agent = new Agent({ keepAlive: true, maxSockets: SOCKETS_PER_SERVICE_MAX });
  return {
    async forward(incoming, requestId, target) {
      const hasBody = assertBodyBound(incoming, target);
      const send = async () => await sendOn(agent, incoming, requestId, target, hasBody);
      // A kept connection may be closed by the service just as it is used again; without a body that is harmless.
      return await send().catch((error: unknown) => {
        if (!hasBody && isStaleSocket(error)) return send();
        throw error;
      });
    },
    close: () => agent.destroy(),
  };
}

function assertBodyBound(incoming: IncomingMessage, target: ForwardTarget): boolean {
  const length = Number(incoming.headers['content-length'] ?? 0);
  if (length > target.bodyBytesMax) throw tooLarge(target);
  return length > 0 || incoming.headers['transfer-encoding'] !== undefined;
}

function sendOn(
  agent: Agent,
  incoming: IncomingMessage,
  requestId: string,
  target: ForwardTarget,
  hasBody: boolean,
): Promise<IncomingMessage> {
  const headers = requestHeaders(incoming.headers, requestId);
  propagation.inject(context.active(), headers);
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(target.origin, {
      agent,
      method: incoming.method ?? 'GET',
      path: incoming.url ?? '/',
      headers,
    });
    let answer: IncomingMessage | undefined;
    incoming.once('close', () => {
      if (!incoming.complete) outgoing.destroy();
    });
    outgoing.once('socket', (socket) => {
      if (!socket.connecting) return;
      const timer = setTimeout(() => outgoing.destroy(new Error('no connection')), CONNECT_TIMEOUT_MS);
      socket.once('connect', () => clearTimeout(timer));
      socket.once('close', () => clearTimeout(timer));
    });
    outgoing.setTimeout(target.answerTimeoutMs, () => outgoing.destroy(new Error('no answer in time')));
    outgoing.once('response', (response) => {
      answer = response;
      outgoing.setTimeout(Math.max(ANSWER_IDLE_TIMEOUT_MS, target.answerTimeoutMs));
      resolve(response);
    });
    outgoing.on('error', (cause) => {
      // Once the answer began its own stream tells of errors.
      if (answer !== undefined) return;
      reject(cause instanceof AppError ? cause : unavailable(target, cause, outgoing.reusedSocket));
    });
    if (!hasBody) outgoing.end();
    else if (incoming.headers['content-length'] !== undefined) passBody(incoming, outgoing);
    else incoming.pipe(boundedPassage(target, outgoing)).pipe(outgoing);
  });
}

/**
 * Passes a body on piece by piece, no faster than the service takes it, and frees each piece once it is sent. Left to
 * the garbage collector, the pieces of a picture of 1.6 MB each come in memory that the processor has not in its cache.
 */
function passBody(incoming: IncomingMessage, outgoing: ClientRequest): void {
  const onData = (piece: Buffer): void => {
    const hasRoom = outgoing.write(piece, (error) => {
      if (!error) setImmediate(freePiece, piece);
    });
    if (!hasRoom) incoming.pause();
  };
  const onEnd = (): void => void outgoing.end();
  /** What is left waits for somebody to read it, or goes on to who reads it already. */
  const stop = (): void => {
    // a request that ends too early would leave its connection, which is kept, in the middle of a body
    incoming.off('data', onData).off('end', onEnd);
    if (incoming.readableEnded) return;
    if (incoming.listenerCount('data') > 0) incoming.resume();
    else incoming.pause();
  };
  outgoing.on('drain', () => incoming.resume());
  outgoing.once('response', (response) => {
    if (outgoing.writableEnded) return;
    // who answers before all came wants no more, and Node tells of no room once there is an answer
    stop();
    response.once('end', () => outgoing.destroy());
  });
  outgoing.once('close', stop);
  incoming.on('data', onData);
  incoming.once('end', onEnd);
}

/** Counts a body of unknown length and breaks the request off when it is over the bound. */
function boundedPassage(target: ForwardTarget, outgoing: { destroy(error: Error): unknown }): Transform {
  let sizeBytes = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      sizeBytes += chunk.length;
      if (sizeBytes > target.bodyBytesMax) outgoing.destroy(tooLarge(target));
      else this.push(chunk);
      done();
    },
  });
}

function tooLarge(target: ForwardTarget): AppError {
  return new AppError(
    'payload_too_large',
    `The body is over the bound of this route, ${target.bodyBytesMax} bytes.`,
    {
      details: { limitBytes: target.bodyBytesMax },
    },
  );
}

function unavailable(target: ForwardTarget, cause: Error, isReusedSocket: boolean): AppError {
  return new AppError('dependency_unavailable', `The ${target.service} service does not answer; try again.`, {
    cause: Object.assign(cause, { isReusedSocket }),
    details: { service: target.service },
  });
}

function isStaleSocket(error: unknown): boolean {
  const cause = (error as { cause?: { code?: string; isReusedSocket?: boolean } }).cause;
  return cause?.isReusedSocket === true && (cause.code === 'ECONNRESET' || cause.code === 'EPIPE');
}
