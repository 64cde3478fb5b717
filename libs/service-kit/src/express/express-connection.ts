import type { Socket } from 'node:net';
import type { Principal } from '../auth/scopes.ts';
import type { BodyMemory } from './body-memory.ts';
import { freePiece, takeAligned } from './body-memory.ts';
import type { ExpressRoute } from './express-lane.ts';
import type { ExpressReply } from './reply-head.ts';
import { writeReply } from './reply-head.ts';
import type { RequestHead } from './request-head.ts';
import { headBytes, readHead } from './request-head.ts';

/** A request that the lane takes; `arrivedAt` is the time of its head (`performance.now()`). */
export type Taken = {
  readonly head: RequestHead;
  readonly principal: Principal;
  readonly route: ExpressRoute;
  readonly params: readonly string[];
  readonly arrivedAt: number;
};
type Receiving = {
  readonly taken: Taken;
  readonly memory: BodyMemory;
  readonly body: Buffer;
  received: number;
};

/** A connection, and what it is doing since `since` (ticks of the lane). */
export type Connection = {
  state: 'idle' | 'receiving' | 'answering';
  since: number;
  end(): void;
  destroy(): void;
};

/** What the lane does for its connections. */
export type Lane = {
  readonly isClosing: boolean;
  readonly ticks: number;
  readonly date: string;
  readonly keepAliveSeconds: number;
  /** Undefined for a request that is not for the lane. */
  take(head: RequestHead, socket: Socket): Taken | undefined;
  /** Gives a connection whose next bytes these are to the complete server. */
  handOver(socket: Socket, bytes: Buffer): void;
  idOf(given: string | undefined): string;
  observe(method: string, route: string, status: number, seconds: number): void;
  forget(connection: Connection): void;
};

/** Reads requests of one connection, one after the other, until it ends or is handed over. */
export function openConnection(socket: Socket, lane: Lane): Connection {
  let last: RequestHead | undefined;
  let receiving: Receiving | undefined;
  /** What came behind the request in hand. */
  let rest: Buffer | undefined;
  /** The caller sends no more, but may wait for an answer. */
  let hasEnded = false;
  const isGone = (): boolean => socket.destroyed;
  const connection: Connection = {
    state: 'idle',
    since: lane.ticks,
    end: () => void socket.end(),
    destroy: () => void socket.destroy(),
  };

  function turn(state: Connection['state']): void {
    connection.state = state;
    connection.since = lane.ticks;
  }

  function leave(bytes: Buffer): void {
    if (hasEnded) {
      // nothing can be put back in front of an end that was read; Node's server too ends who sends no more unanswered
      connection.end();
      return;
    }
    lane.forget(connection);
    socket.off('data', onData).off('end', onEnd).off('error', connection.destroy).off('close', onClose);
    lane.handOver(socket, bytes);
  }

  function begin(bytes: Buffer): void {
    const head = lane.isClosing ? undefined : readHead(bytes, last);
    const taken = head === undefined ? undefined : lane.take(head, socket);
    if (head === undefined || taken === undefined) {
      leave(bytes);
      return;
    }
    last = head;
    const { route } = taken;
    const { bodyBytes } = head;
    const from = headBytes(head);
    const memory = route.lease();
    if (bytes.length - from >= bodyBytes) {
      if (bytes.length - from > bodyBytes) rest = bytes.subarray(from + bodyBytes);
      void answer(taken, bytes.subarray(from, from + bodyBytes), memory);
      return;
    }
    const body = takeAligned(memory, bodyBytes, route.alignedAt?.(head.headers) ?? 0);
    receiving = { taken, memory, body, received: bytes.copy(body, 0, from) };
    freePiece(bytes);
    turn('receiving');
  }

  function receive(part: Receiving, bytes: Buffer): void {
    const { body, memory, taken } = part;
    const copied = bytes.copy(body, part.received);
    part.received += copied;
    if (copied < bytes.length) rest = Buffer.from(bytes.subarray(copied));
    freePiece(bytes);
    if (part.received < body.length) return;
    receiving = undefined;
    void answer(taken, body, memory);
  }

  async function answer(taken: Taken, body: Buffer, memory: BodyMemory): Promise<void> {
    const { head, principal, route, params, arrivedAt } = taken;
    const id = lane.idOf(head.headers['x-request-id']);
    turn('answering');
    let reply: ExpressReply;
    try {
      reply = await route.answer({ id, principal, headers: head.headers, params, body, memory, isGone });
    } catch (error) {
      reply = route.refuse(error, id);
    }
    memory.release();
    lane.observe('POST', route.url, reply.status, (performance.now() - arrivedAt) / 1_000);
    if (socket.destroyed) return;
    const { date, keepAliveSeconds } = lane;
    const isLast = lane.isClosing || (hasEnded && rest === undefined);
    const hasRoom = writeReply(socket, reply, { id, date, keepAliveSeconds, isLast });
    turn('idle');
    if (isLast) connection.end();
    else if (hasRoom) next();
    else socket.once('drain', next);
  }

  function next(): void {
    const bytes = rest;
    if (bytes === undefined) return;
    rest = undefined;
    socket.resume();
    begin(bytes);
  }

  function onData(bytes: Buffer): void {
    if (receiving !== undefined) {
      receive(receiving, bytes);
    } else if (connection.state === 'idle' && rest === undefined && !socket.writableNeedDrain) {
      begin(bytes);
    } else {
      // a caller who does not wait for an answer before the next request waits here
      rest = rest === undefined ? bytes : Buffer.concat([rest, bytes]);
      socket.pause();
    }
  }

  function onEnd(): void {
    hasEnded = true;
    if (connection.state !== 'answering') connection.end();
  }

  function onClose(): void {
    lane.forget(connection);
    receiving?.memory.release();
    receiving = undefined;
  }

  socket.on('data', onData).on('end', onEnd).on('error', connection.destroy).on('close', onClose);
  return connection;
}
