import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { propagation } from '@opentelemetry/api';
import type { Auth } from '../auth/auth.ts';
import type { Principal, Scope } from '../auth/scopes.ts';
import type { BodyMemory } from './body-memory.ts';
import type { Connection, Lane, Taken } from './express-connection.ts';
import { openConnection } from './express-connection.ts';
import type { ExpressReply } from './reply-head.ts';
import type { RequestHead } from './request-head.ts';

/** A request whose body is there. */
export type ExpressRequest = {
  readonly id: string;
  readonly principal: Principal;
  readonly headers: Readonly<Record<string, string>>;
  /** What the groups of the route's path found. */
  readonly params: readonly string[];
  readonly body: Buffer;
  readonly memory: BodyMemory;
  /** Whether the caller went away. */
  isGone(): boolean;
};

/** A `POST` that the lane answers; the same route must be there in full, for whatever the lane leaves to it. */
export type ExpressRoute = {
  /** Label of its metrics. */
  readonly url: string;
  /** Whole paths, with groups of characters that no URL encodes. */
  readonly path: RegExp;
  readonly scope: Scope;
  readonly bodyBytesMax: number;
  lease(): BodyMemory;
  /** Whether a request with these headers is for the lane; all are when absent. */
  accepts?(headers: Readonly<Record<string, string>>): boolean;
  /** Offset in the body at which numbers of any type should be able to begin; else 0. */
  alignedAt?(headers: Readonly<Record<string, string>>): number;
  answer(request: ExpressRequest): Promise<ExpressReply>;
  /** The answer to a request that failed; logs what is a fault of ours. Must not throw. */
  refuse(error: unknown, id: string): ExpressReply;
};

export type ExpressLane = {
  /** Ends idle connections now, the others with their answer. */
  close(): void;
  /** Cuts off what is still there. */
  destroy(): void;
};

export type ExpressLaneOptions = Pick<Lane, 'idOf' | 'observe'> & {
  server: Server;
  routes: readonly ExpressRoute[];
  auth: Auth;
  keepAliveMs: number;
  /** A body must arrive within this time (ms). */
  requestTimeoutMs: number;
};

/** Idle and slow connections are looked for this often, and the date of answers is as new as that (ms). */
const TICK_MS = 1_000;

/** Whether spans are made: they need the context of the complete server. */
const isTraced = (): boolean => propagation.fields().length > 0;

/**
 * Answers plain requests to a few routes straight from the socket: for a small prediction the streams and objects of an
 * HTTP message cost several times what the prediction does (docs/adr/0016). It takes a request only when its head is in
 * one piece, in the plainest form of RFC 9112, for one of its routes and of somebody who may make it. With anything else
 * the whole connection goes, unread, to Node's own HTTP server, and stays there.
 */
export function openExpressLane(options: ExpressLaneOptions): ExpressLane {
  const { server, routes, auth, idOf, observe } = options;
  const listeners = server.listeners('connection') as ((socket: Socket) => void)[];
  const connections = new Set<Connection>();
  const lane = {
    isClosing: false,
    ticks: 0,
    date: new Date().toUTCString(),
    keepAliveSeconds: Math.floor(options.keepAliveMs / 1_000),
    take,
    idOf,
    observe,
    forget: (connection: Connection): void => void connections.delete(connection),
    handOver(socket: Socket, bytes: Buffer): void {
      socket.pause();
      socket.unshift(bytes);
      for (const listener of listeners) listener.call(server, socket);
      socket.resume();
    },
  };

  /** Who makes the request, if they may. */
  function allowed({ headers }: RequestHead, scope: Scope, socket: Socket): Principal | undefined {
    const { authorization, host, origin } = headers;
    const { remoteAddress } = socket;
    try {
      const credentials = { authorization, host, origin, remoteAddress, connection: socket };
      const principal = auth.authenticate(credentials);
      if (principal instanceof Promise) {
        // a token that is new here: the complete server waits for its verification, and answers
        principal.catch(() => undefined);
        return undefined;
      }
      auth.authorize(principal, scope);
      return principal;
    } catch {
      // the complete server refuses it again, and answers
      return undefined;
    }
  }

  function take(head: RequestHead, socket: Socket): Taken | undefined {
    if (isTraced()) return undefined;
    for (const route of routes) {
      const match = route.path.exec(head.path);
      if (match === null) continue;
      const isFit = head.bodyBytes <= route.bodyBytesMax && route.accepts?.(head.headers) !== false;
      const principal = isFit ? allowed(head, route.scope, socket) : undefined;
      if (principal === undefined) return undefined;
      return { head, principal, route, params: match.slice(1), arrivedAt: performance.now() };
    }
    return undefined;
  }

  function isOverdue({ state, since }: Connection): boolean {
    if (state === 'answering') return false;
    const limitMs = state === 'idle' ? options.keepAliveMs : options.requestTimeoutMs;
    return (lane.ticks - since) * TICK_MS > limitMs;
  }

  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => connections.add(openConnection(socket, lane)));
  const timer = setInterval(() => {
    lane.ticks += 1;
    lane.date = new Date().toUTCString();
    for (const connection of connections) if (isOverdue(connection)) connection.destroy();
  }, TICK_MS);
  timer.unref();

  return {
    close() {
      lane.isClosing = true;
      for (const connection of connections) if (connection.state === 'idle') connection.end();
    },
    destroy() {
      clearInterval(timer);
      for (const connection of connections) connection.destroy();
    },
  };
}
