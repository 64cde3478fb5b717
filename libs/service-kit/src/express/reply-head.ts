import { createRequire } from 'node:module';

// importing node:http makes Node load its client for fetch and WebSocket as well, an eighth of a bare start
const { STATUS_CODES } = createRequire(import.meta.url)('node:http') as typeof import('node:http');

/** An answer; `headers` has names and values in turn. */
export type ExpressReply = {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: string | Buffer;
};

/** What every answer of a connection has; `date` is RFC 9110's. */
export type ReplyFrame = {
  readonly id: string;
  readonly date: string;
  readonly keepAliveSeconds: number;
  readonly isLast: boolean;
};

/** Bodies up to this size go out in one piece with their head (bytes). */
const JOINED_BYTES_MAX = 64 * 1024;

function headOf({ status, headers }: ExpressReply, bodyBytes: number, frame: ReplyFrame): string {
  let text = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n`;
  for (let i = 0; i < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
  const connection = frame.isLast
    ? 'Connection: close'
    : `Connection: keep-alive\r\nKeep-Alive: timeout=${frame.keepAliveSeconds}`;
  return `${text}x-request-id: ${frame.id}\r\nx-content-type-options: nosniff\r\ncontent-length: ${bodyBytes}\r\nDate: ${frame.date}\r\n${connection}\r\n\r\n`;
}

/** Writes a whole answer to a stream; false when the stream is full. */
export function writeReply(
  stream: {
    write(data: string | Buffer, encoding?: 'latin1' | 'utf8'): boolean;
    cork(): void;
    uncork(): void;
  },
  reply: ExpressReply,
  frame: ReplyFrame,
): boolean {
  const { body } = reply;
  if (typeof body === 'string') {
    const bytes = Buffer.byteLength(body);
    return stream.write(headOf(reply, bytes, frame) + body, bytes === body.length ? 'latin1' : 'utf8');
  }
  const head = headOf(reply, body.length, frame);
  if (body.length <= JOINED_BYTES_MAX) {
    const whole = Buffer.allocUnsafe(head.length + body.length);
    whole.write(head, 'latin1');
    body.copy(whole, head.length);
    return stream.write(whole);
  }
  stream.cork();
  stream.write(head, 'latin1');
  const hasRoom = stream.write(body);
  stream.uncork();
  return hasRoom;
}
