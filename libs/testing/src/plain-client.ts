import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect } from 'node:net';

const PIECE = Buffer.alloc(256 * 1024);

export type PlainRequest = {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** How the body begins; zeros follow. */
  readonly start?: string;
  /** Bytes of the whole body. */
  readonly sizeBytes: number;
};

/**
 * Sends a request as many clients do: all of it before anything of the answer is read.
 * @throws Error with code `EPIPE` or `ECONNRESET` when the server closes the connection before that
 */
export async function sendThenRead(
  url: string,
  { method = 'POST', headers = {}, start = '', sizeBytes }: PlainRequest,
): Promise<{ status: number; body: string }> {
  const { hostname, port, host, pathname, search } = new URL(url);
  // a socket that is paused does not even buffer what comes
  const socket = connect(Number(port), hostname).pause();
  const failed = once(socket, 'error').then(([error]) => Promise.reject(error as Error));
  const exchange = async () => {
    const more = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
    const head = [`${method} ${pathname}${search} HTTP/1.1`, `host: ${host}`, `content-length: ${sizeBytes}`];
    await write(socket, Buffer.from(`${[...head, ...more].join('\r\n')}\r\n\r\n${start}`));
    for (let left = sizeBytes - Buffer.byteLength(start); left > 0; left -= PIECE.length)
      await write(socket, PIECE.subarray(0, left));
    return await readAnswer(socket);
  };
  try {
    return await Promise.race([exchange(), failed]);
  } finally {
    socket.destroy();
  }
}

async function write(socket: Socket, bytes: Uint8Array): Promise<void> {
  await new Promise<void>((resolve, reject) =>
    socket.write(bytes, (error) => (error ? reject(error) : resolve())),
  );
}

/** Status and body of an answer that gives its length. */
async function readAnswer(socket: Socket): Promise<{ status: number; body: string }> {
  let text = '';
  for await (const chunk of socket) {
    text += (chunk as Buffer).toString('latin1');
    const end = text.indexOf('\r\n\r\n');
    const length = /^content-length: (\d+)\r$/im.exec(text)?.[1];
    if (end < 0 || length === undefined || text.length < end + 4 + Number(length)) continue;
    const status = Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]);
    return { status, body: Buffer.from(text.slice(end + 4), 'latin1').toString() };
  }
  throw new Error(`The connection ended within the answer: ${text}`);
}
