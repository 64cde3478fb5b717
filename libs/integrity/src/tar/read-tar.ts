/** Size of a block of a tar, in bytes. */
export const TAR_BLOCK_BYTES = 512;
/** A name that does not fit a header, or the attributes of an entry (bytes). */
const LONG_HEADER_BYTES_MAX = 64 * 1024;
/** Headers and padding that are read beyond the entries of an archive within its bounds. */
const BLOCKS_MAX = 64 * 1024;

/** What is done with the entries of a tar, in their order. */
export type TarSink = {
  /** A plain file; `content` must be read to its end. */
  file(path: string, sizeBytes: number, content: AsyncIterable<Buffer>): Promise<void>;
  folder(path: string): void;
  /** The error for a tar that is damaged or holds what is no plain file; `why` follows "The archive". */
  refuse(why: string): Error;
};

/** Reads a stream in pieces of a given size. */
class Pieces {
  readonly #source: AsyncIterator<Buffer>;
  readonly #refuse: (why: string) => Error;
  #held: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>, refuse: (why: string) => Error) {
    this.#source = source[Symbol.asyncIterator]();
    this.#refuse = refuse;
  }

  async #more(): Promise<void> {
    const { done, value } = await this.#source.next();
    if (done === true) throw this.#refuse('ends too early');
    this.#held = this.#held.length === 0 ? value : Buffer.concat([this.#held, value]);
  }

  async exactly(count: number): Promise<Buffer> {
    while (this.#held.length < count) await this.#more();
    const piece = this.#held.subarray(0, count);
    this.#held = this.#held.subarray(count);
    return piece;
  }

  async *stream(count: number): AsyncGenerator<Buffer> {
    for (let left = count; left > 0; ) {
      if (this.#held.length === 0) await this.#more();
      const piece = this.#held.subarray(0, left);
      this.#held = this.#held.subarray(piece.length);
      left -= piece.length;
      yield piece;
    }
  }
}

type Attributes = { path?: string; size?: number };
type Refuse = TarSink['refuse'];

function text(header: Buffer, from: number, length: number): string {
  const field = header.subarray(from, from + length);
  const end = field.indexOf(0);
  return new TextDecoder('utf-8', { fatal: true }).decode(end < 0 ? field : field.subarray(0, end));
}

function octal(header: Buffer, from: number, length: number, refuse: Refuse): number {
  const digits = text(header, from, length).trim();
  if (!/^[0-7]*$/.test(digits)) throw refuse('has a size that is no number');
  return digits === '' ? 0 : Number.parseInt(digits, 8);
}

function assertChecksum(header: Buffer, refuse: Refuse): void {
  let sum = 8 * 32;
  for (let i = 0; i < TAR_BLOCK_BYTES; i += 1) if (i < 148 || i >= 156) sum += header[i] as number;
  if (sum !== octal(header, 148, 8, refuse)) throw refuse('has a damaged header');
}

/** `path` and `size` of the attributes `"<length> <name>=<value>\n"` of POSIX. */
function attributes(bytes: Buffer, refuse: Refuse): Attributes {
  const found: Attributes = {};
  for (let at = 0; at < bytes.length && bytes[at] !== 0; ) {
    const space = bytes.indexOf(32, at);
    const length = Number(bytes.subarray(at, space).toString('latin1'));
    if (space < 0 || !Number.isSafeInteger(length) || length <= 0 || at + length > bytes.length)
      throw refuse('has malformed attributes');
    const [name = '', ...rest] = bytes
      .subarray(space + 1, at + length - 1)
      .toString('utf8')
      .split('=');
    const value = rest.join('=');
    if (name === 'path') found.path = value;
    if (name === 'size') found.size = Number(value);
    if (name.startsWith('GNU.sparse')) throw refuse('has sparse files; pack them plain');
    at += length;
  }
  return found;
}

const nameOf = (header: Buffer): string => {
  const isPosix = text(header, 257, 6).startsWith('ustar') && header[263] === 0x30;
  const prefix = isPosix ? text(header, 345, 155) : '';
  return prefix === '' ? text(header, 0, 100) : `${prefix}/${text(header, 0, 100)}`;
};

/** `./a` is how tar names what is in the folder it was called in. */
const plain = (path: string): string => path.replace(/^(\.\/)+/, '');

/**
 * Reads a tar that may come from anybody, one piece in memory at a time: ustar with long names of POSIX and GNU. Links,
 * devices and sparse files are refused. Throws what the sink makes or throws, and the error of the stream.
 */
export async function readTar(source: AsyncIterable<Buffer>, sink: TarSink): Promise<void> {
  const { refuse } = sink;
  const pieces = new Pieces(source, refuse);
  let next: Attributes = {};
  for (let blocks = 0; ; blocks += 1) {
    if (blocks > BLOCKS_MAX) throw refuse('has too many headers');
    const header = Buffer.from(await pieces.exactly(TAR_BLOCK_BYTES));
    if (header.every((byte) => byte === 0)) return;
    assertChecksum(header, refuse);
    const type = String.fromCharCode(header[156] as number);
    const size = next.size ?? octal(header, 124, 12, refuse);
    if (!Number.isSafeInteger(size) || size < 0) throw refuse('has a size that is no number');
    const padding = (TAR_BLOCK_BYTES - (size % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES;
    if ('xgLK'.includes(type)) {
      if (size > LONG_HEADER_BYTES_MAX) throw refuse('has a header that is too long');
      const body = Buffer.from(await pieces.exactly(size));
      if (type === 'x') next = { ...next, ...attributes(body, refuse) };
      if (type === 'L') next = { ...next, path: text(body, 0, body.length) };
    } else if (type === '0' || type === '\0' || type === '7') {
      await sink.file(plain(next.path ?? nameOf(header)), size, pieces.stream(size));
      next = {};
    } else if (type === '5') {
      sink.folder(plain(next.path ?? nameOf(header)));
      for await (const _ of pieces.stream(size));
      next = {};
    } else {
      const name = JSON.stringify((next.path ?? nameOf(header)).slice(0, 80));
      throw refuse(`holds a link, device or sparse file, ${name}`);
    }
    await pieces.exactly(padding);
  }
}
