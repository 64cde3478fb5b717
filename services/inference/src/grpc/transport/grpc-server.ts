import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import { constants, createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { AppError } from '@millrace/contracts';
import type { Auth, Logger, Metrics, Principal, Scope } from '@millrace/service-kit';
import { inCallSpan, toAppError } from '@millrace/service-kit';
import { Call } from './call.ts';
import type { Message, MessageLimits } from './message-reader.ts';
import { MessageReader, plainBytes } from './message-reader.ts';
import { STATUS } from './status.ts';

/** Connections at once; more are refused. */
const CONNECTIONS_MAX = 4_096;
/** Calls at once on a connection; a client queues what is over it. */
const CALLS_MAX = 1_024;
/** Metadata of a call (bytes). */
const METADATA_BYTES_MAX = 16 * 1024;
/** What a client may send before we read it: on a stream, and on all streams of a connection (bytes). */
const STREAM_WINDOW_BYTES = 4 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024;
/** A frame of this size is read without being put together from many (bytes). */
const FRAME_BYTES = 1024 * 1024;
/** How long a caller may take. */
const TIMEOUTS: CallTimeouts = { receiveMs: 60_000, sendMs: 60_000, sweepMs: 1_000 };
/** A connection without calls is closed after this time (ms); clients open another when they need one. */
const IDLE_TIMEOUT_MS = 10 * 60_000;
/** At shutdown clients hear of it this long before new calls are refused (ms). */
const NOTICE_MS = 50;
/** Calls in hand get this long to end at shutdown; they are then cut off (ms). */
const DRAIN_TIMEOUT_MS = 10_000;
const MIB = 1024 * 1024;
const LAST_STREAM_ID = 2 ** 31 - 1;

/** What handles the messages of a streaming call; after `onEnd` no message comes. */
export type StreamHandler = { onMessage(message: Message): void; onEnd(): void; onClose?(): void };

/** A method: `unary` takes one message and gives one, `stream` takes and gives any number. */
export type Method = {
  /** Scope that the caller needs; `public` methods are open to everyone. */
  readonly scope: Scope | 'public';
} & (
  | { readonly kind: 'unary'; handle(bytes: Buffer, call: Call): Promise<Buffer> }
  | { readonly kind: 'stream'; open(call: Call, fail: (error: unknown) => void): StreamHandler }
);

export type CallTimeouts = {
  /** A message must have come whole this long after the call began, or after the message before it (ms). */
  readonly receiveMs: number;
  /** An answer must have been read this long after it was written (ms). */
  readonly sendMs: number;
  /** How often that is looked at (ms). */
  readonly sweepMs: number;
};

export type GrpcServerOptions = {
  /** Whose spans these are. */
  readonly service: string;
  readonly auth: Auth;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly limits: MessageLimits;
  /** Largest answer (bytes). */
  readonly answerBytesMax: number;
  readonly timeouts?: CallTimeouts;
};

export type GrpcServer = {
  readonly port: number;
  /** Lets the calls in hand end, refuses others. */
  close(): Promise<void>;
};

/** A call that lasts; `receivedAt` is when it began, or when its last message was whole. */
type OpenCall = { call: Call; reader: MessageReader; receivedAt: number; isReceiving: boolean };

/** Serves methods by path (`/package.Service/Method`) as gRPC over HTTP/2 without TLS. */
export function createGrpcServer(methods: ReadonlyMap<string, Method>, options: GrpcServerOptions) {
  const { auth, logger, limits, timeouts = TIMEOUTS } = options;
  const calls = new Set<OpenCall>();
  const sessions = new Set<ServerHttp2Session>();
  const observe = createObserver(options.metrics);
  let isClosing = false;

  function failWith(call: Call, raw: unknown): void {
    const error = toAppError(raw, limits.messageBytesMax);
    const requestId = call.fail(error);
    if (error.status < 500) return;
    const level = error.code === 'internal' ? 'error' : 'warn';
    const about = { err: error.cause ?? error, code: error.code, method: call.method, requestId };
    logger[level](about, error.message);
  }

  async function answer(method: Method & { kind: 'unary' }, call: Call, message: Message): Promise<void> {
    try {
      const bytes = await plainBytes(message, call.headers['grpc-encoding'], limits.messageBytesMax);
      const about = { service: options.service, method: call.method, metadata: call.headers };
      call.end(await inCallSpan(about, () => method.handle(bytes, call)));
    } catch (error) {
      failWith(call, error);
    } finally {
      message.release();
    }
  }

  function handlerOf(method: Method, call: Call): StreamHandler {
    if (method.kind === 'stream') return method.open(call, (error) => failWith(call, error));
    let only: Message | undefined;
    return {
      onMessage(message) {
        if (only === undefined) only = message;
        else {
          message.release();
          throw new AppError('invalid_request', 'This method takes one message.');
        }
      },
      onEnd() {
        if (only === undefined) throw new AppError('invalid_request', 'This method takes a message.');
        void answer(method, call, only);
        only = undefined;
      },
      onClose() {
        only?.release();
      },
    };
  }

  function receive(call: Call, method: Method): void {
    const { stream } = call;
    const handler = handlerOf(method, call);
    const reader = new MessageReader(limits, (message) => {
      state.receivedAt = performance.now();
      handler.onMessage(message);
    });
    const state: OpenCall = { call, reader, receivedAt: call.startedAt, isReceiving: true };
    calls.add(state);
    stream.on('data', (piece: Buffer) => {
      if (call.isOver()) return;
      try {
        reader.push(piece);
      } catch (error) {
        failWith(call, error);
      }
    });
    stream.on('end', () => {
      state.isReceiving = false;
      if (call.isOver()) return;
      try {
        if (!reader.isBetween()) throw new AppError('invalid_request', 'The message did not arrive whole.');
        handler.onEnd();
      } catch (error) {
        failWith(call, error);
      }
    });
    stream.on('close', () => {
      calls.delete(state);
      call.isGone = call.status === undefined;
      reader.abandon();
      handler.onClose?.();
      observe(call);
    });
  }

  function open(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    // a stream that breaks is closed; there is nobody to tell
    stream.on('error', (error) => logger.debug({ err: error }, 'A gRPC stream broke.'));
    const path = headers[':path'] ?? '';
    const method = methods.get(path);
    const call = new Call(stream, headers, method === undefined ? 'unknown' : path.slice(1));
    if (!isGrpc(headers)) {
      stream.respond({ ':status': 415, 'content-type': 'text/plain' });
      stream.end('This port speaks gRPC; HTTP is on another.\n');
      return;
    }
    try {
      if (method === undefined) {
        throw new AppError('route_not_found', `There is no method ${path.slice(0, 100)} here.`);
      }
      if (isClosing) throw new AppError('shutting_down', 'The service is stopping; send the request again.');
      const admitted = authorize(auth, method.scope, call);
      if (admitted === undefined) receive(call, method);
      else admitted.then(() => admit(call, method)).catch((error: unknown) => refuse(call, error));
    } catch (error) {
      refuse(call, error);
    }
  }

  /** Goes on with a call whose token had to be verified first, unless it has ended meanwhile. */
  function admit(call: Call, method: Method): void {
    if (call.stream.destroyed) observe(call);
    else receive(call, method);
  }

  function refuse(call: Call, error: unknown): void {
    failWith(call, error);
    observe(call);
  }

  /** Ends calls whose messages do not come or whose answers are not read. */
  function sweep(): void {
    const now = performance.now();
    for (const { call, reader, receivedAt, isReceiving } of calls) {
      if (call.endedAt !== undefined) {
        if (now - call.endedAt > timeouts.sendMs) call.stream.close(constants.NGHTTP2_CANCEL);
        continue;
      }
      // between the messages of a stream a caller may take its time
      const isWaiting = isReceiving && (!reader.isBetween() || receivedAt === call.startedAt);
      if (!isWaiting || now - receivedAt <= timeouts.receiveMs) continue;
      const text = `No whole message came within ${timeouts.receiveMs} ms.`;
      failWith(call, new AppError('deadline_exceeded', text));
    }
  }

  const server = createServer({
    settings: {
      maxConcurrentStreams: CALLS_MAX,
      initialWindowSize: STREAM_WINDOW_BYTES,
      maxFrameSize: FRAME_BYTES,
      maxHeaderListSize: METADATA_BYTES_MAX,
      enablePush: false,
    },
    // two answers that wait for a slow reader and what came meanwhile; more calls are refused until they are read (MiB)
    maxSessionMemory: Math.ceil((2 * options.answerBytesMax + CONNECTION_WINDOW_BYTES) / MIB),
  });
  server.maxConnections = CONNECTIONS_MAX;
  server.on('session', (session) => {
    sessions.add(session);
    session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
    session.setTimeout(IDLE_TIMEOUT_MS, () => session.close());
    session.on('close', () => sessions.delete(session));
  });
  server.on('sessionError', (error) => logger.debug({ err: error }, 'A gRPC connection broke.'));
  server.on('stream', open);
  const sweeper = setInterval(sweep, timeouts.sweepMs).unref();

  return {
    listen: (host: string, port: number): Promise<number> =>
      new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen({ host, port }, () => {
          server.off('error', reject);
          resolve((server.address() as AddressInfo).port);
        });
      }),
    async close(): Promise<void> {
      for (const session of sessions) if (!session.destroyed) session.goaway(0, LAST_STREAM_ID);
      await new Promise((resolve) => setTimeout(resolve, NOTICE_MS));
      isClosing = true;
      const cut = setTimeout(() => {
        for (const session of sessions) session.destroy();
      }, DRAIN_TIMEOUT_MS);
      // refuses connections, and closes those there are as soon as their calls have ended
      await new Promise<void>((resolve) => server.close(() => resolve()));
      clearTimeout(cut);
      clearInterval(sweeper);
    },
  };
}

function isGrpc(headers: IncomingHttpHeaders): boolean {
  return headers[':method'] === 'POST' && headers['content-type']?.startsWith('application/grpc') === true;
}

function authorize(auth: Auth, scope: Method['scope'], call: Call): Promise<void> | undefined {
  if (scope === 'public') return undefined;
  const { headers, stream } = call;
  const admit = (principal: Principal): void => {
    auth.authorize(principal, scope);
    call.principal = principal;
  };
  const known = auth.authenticate({
    authorization: headers.authorization,
    host: headers[':authority'] ?? headers.host,
    origin: headers.origin,
    remoteAddress: stream.session?.socket.remoteAddress,
  });
  if (known instanceof Promise) return known.then(admit);
  admit(known);
  return undefined;
}

/** Measures calls by method and status. */
function createObserver(metrics: Metrics): (call: Call) => void {
  const seconds = metrics.histogram({
    name: 'grpc_request_seconds',
    help: 'Time from the headers of a gRPC call to its end.',
    labels: ['method', 'status'],
  });
  const series = new Map<string, { observe(value: number): void }>();
  return (call) => {
    const status = String(call.status ?? STATUS.cancelled);
    const key = `${call.method} ${status}`;
    let one = series.get(key);
    if (one === undefined) {
      one = seconds.labels({ method: call.method, status });
      series.set(key, one);
    }
    one.observe((performance.now() - call.startedAt) / 1000);
  };
}
