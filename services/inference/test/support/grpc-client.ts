import type { ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2';
import { connect } from 'node:http2';

const PREFIX_BYTES = 5;

/** What came of a call; `status` is that of gRPC, -1 when there was none. */
export type GrpcAnswer = {
  httpStatus: number;
  status: number;
  message: string;
  code: string | undefined;
  trailers: IncomingHttpHeaders;
  messages: Buffer[];
};

export type GrpcCall = { readonly stream: ClientHttp2Stream; readonly answer: Promise<GrpcAnswer> };

/** A gRPC client that shows what is on the wire. */
export type GrpcClient = {
  /** Opens a call of `/package.Service/Method`; whoever calls writes and ends its stream. */
  open(path: string, headers?: Record<string, string>): GrpcCall;
  /** Sends one message and gives the answer. */
  call(path: string, message: Uint8Array, headers?: Record<string, string>): Promise<GrpcAnswer>;
  close(): void;
};

/** A message with its prefix. */
export function framed(message: Uint8Array): Buffer {
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

function messagesOf(body: Buffer): Buffer[] {
  const messages: Buffer[] = [];
  for (let at = 0; at < body.length; ) {
    const end = at + PREFIX_BYTES + body.readUInt32BE(at + 1);
    messages.push(body.subarray(at + PREFIX_BYTES, end));
    at = end;
  }
  return messages;
}

function answerOf(stream: ClientHttp2Stream): Promise<GrpcAnswer> {
  return new Promise((resolve, reject) => {
    let head: IncomingHttpHeaders = {};
    let trailers: IncomingHttpHeaders | undefined;
    const parts: Buffer[] = [];
    stream.on('response', (headers) => {
      head = headers;
    });
    stream.on('trailers', (headers) => {
      trailers = headers;
    });
    stream.on('data', (part: Buffer) => parts.push(part));
    stream.on('error', reject);
    stream.on('close', () => {
      const last = trailers ?? head;
      resolve({
        httpStatus: Number(head[':status']),
        status: Number(last['grpc-status'] ?? -1),
        message: decodeURIComponent(String(last['grpc-message'] ?? '')),
        code: last['millrace-code'] as string | undefined,
        trailers: last,
        messages: head['content-type'] === 'application/grpc' ? messagesOf(Buffer.concat(parts)) : [],
      });
    });
  });
}

/** Connects to `host:port`. */
export function connectGrpc(address: string): GrpcClient {
  const session = connect(`http://${address}`);
  session.on('error', () => undefined);
  const open = (path: string, headers: Record<string, string> = {}): GrpcCall => {
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    return { stream, answer: answerOf(stream) };
  };
  return {
    open,
    call(path, message, headers) {
      const { stream, answer } = open(path, headers);
      stream.end(framed(message));
      return answer;
    },
    close: () => session.destroy(),
  };
}
