import { existsSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';

const READ_BUFFER_BYTES = 256 * 1024;
const HEAD_END = Buffer.from('\r\n\r\n');

/** A keep-alive connection that has one request on its way at a time. */
export type RawConnection = { send(request: Buffer): void; close(): void };

/** What the owner of a connection is told. */
export type RawEvents = {
  onOpen: () => void;
  /** A whole answer is here; `status` is its three digits. */
  onAnswer: (status: string) => void;
  onError: (error: Error) => void;
};

/** Requests of a folder, whole as they go over the wire: 0.http, 1.http, … */
export function readRequests(folder: string): Buffer[] {
  const requests: Buffer[] = [];
  while (existsSync(join(folder, `${requests.length}.http`)))
    requests.push(readFileSync(join(folder, `${requests.length}.http`)));
  if (requests.length === 0) throw new Error(`${folder} holds no requests (0.http, …)`);
  return requests;
}

/** Opens a connection that reads into one buffer of its own, so that a load makes no garbage. */
export function openConnection(address: string, events: RawEvents): RawConnection {
  const [host = '127.0.0.1', port = '80'] = address.split(':');
  let missing = -1;
  let status = '';
  let head: Buffer | null = null;
  let isClosed = false;
  const fail = (error: Error): void => {
    if (isClosed) return;
    isClosed = true;
    socket.destroy();
    events.onError(error);
  };
  const take = (bytes: Buffer): void => {
    if (missing < 0) {
      const all = head === null ? bytes : Buffer.concat([head, bytes]);
      const at = all.indexOf(HEAD_END);
      if (at < 0) {
        head = Buffer.from(all);
        return;
      }
      head = null;
      const text = all.toString('latin1', 0, at);
      status = text.slice(9, 12);
      const length = /\r\ncontent-length: *(\d+)/i.exec(text)?.[1];
      if (length === undefined) {
        fail(new Error(`an answer ${status} without Content-Length`));
        return;
      }
      missing = Number(length) - (all.length - at - HEAD_END.length);
    } else missing -= bytes.length;
    if (missing > 0) return;
    const isWhole = missing === 0;
    missing = -1;
    if (isWhole) events.onAnswer(status);
    else fail(new Error('more bytes than the answer has'));
  };
  const buffer = Buffer.allocUnsafe(READ_BUFFER_BYTES);
  const socket = connect({
    host,
    port: Number(port),
    noDelay: true,
    onread: {
      buffer,
      callback(count) {
        take(buffer.subarray(0, count));
        return true;
      },
    },
  });
  socket.once('connect', events.onOpen);
  socket.on('error', fail);
  socket.on('close', () => fail(new Error('the server closed the connection')));
  return {
    send: (request) => void socket.write(request),
    close() {
      isClosed = true;
      socket.destroy();
    },
  };
}
