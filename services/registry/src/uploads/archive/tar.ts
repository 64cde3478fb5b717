import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { isAppError } from '@millrace/contracts';
import type { SpooledFile } from '../spool.ts';
import type { ArchiveSink } from './archive-files.ts';
import { invalidArchive } from './archive-files.ts';

const BLOCK = 512;
/** A name that does not fit a header, or the attributes of an entry (bytes). */
const LONG_HEADER_BYTES_MAX = 64 * 1024;
/** Headers and padding that are read beyond the entries of an archive within its bounds. */
const BLOCKS_MAX = 64 * 1024;

/** Reads a stream in pieces of a given size. */
class Pieces {
  readonly #source: AsyncIterator<Buffer>;
  #held: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  async #more(): Promise<void> {
    const { done, value } = await this.#source.next();
    if (done === true) throw invalidArchive('ends too early');
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

function text(header: Buffer, from: number, length: number): string {
  const field = header.subarray(from, from + length);
  const end = field.indexOf(0);
  return new TextDecoder('utf-8', { fatal: true }).decode(end < 0 ? field : field.subarray(0, end));
}

function octal(header: Buffer, from: number, length: number): number {
  const digits = text(header, from, length).trim();
  if (!/^[0-7]*$/.test(digits)) throw invalidArchive('has a size that is no number');
  return digits === '' ? 0 : Number.parseInt(digits, 8);
}

function assertChecksum(header: Buffer): void {
  let sum = 8 * 32;
  for (let i = 0; i < BLOCK; i += 1) if (i < 148 || i >= 156) sum += header[i] as number;
  if (sum !== octal(header, 148, 8)) throw invalidArchive('has a damaged header');
}

/** `path` and `size` of the attributes `"<length> <name>=<value>\n"` of POSIX. */
function attributes(bytes: Buffer): { path?: string; size?: number } {
  const found: { path?: string; size?: number } = {};
  for (let at = 0; at < bytes.length && bytes[at] !== 0; ) {
    const space = bytes.indexOf(32, at);
    const length = Number(bytes.subarray(at, space).toString('latin1'));
    if (space < 0 || !Number.isSafeInteger(length) || length <= 0 || at + length > bytes.length)
      throw invalidArchive('has malformed attributes');
    const [name = '', ...rest] = bytes
      .subarray(space + 1, at + length - 1)
      .toString('utf8')
      .split('=');
    const value = rest.join('=');
    if (name === 'path') found.path = value;
    if (name === 'size') found.size = Number(value);
    if (name.startsWith('GNU.sparse')) throw invalidArchive('has sparse files; pack them plain');
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

async function readEntries(pieces: Pieces, sink: ArchiveSink): Promise<void> {
  let next: { path?: string; size?: number } = {};
  for (let blocks = 0; ; blocks += 1) {
    if (blocks > BLOCKS_MAX) throw invalidArchive('has too many headers');
    const header = Buffer.from(await pieces.exactly(BLOCK));
    if (header.every((byte) => byte === 0)) return;
    assertChecksum(header);
    const type = String.fromCharCode(header[156] as number);
    const size = next.size ?? octal(header, 124, 12);
    if (!Number.isSafeInteger(size) || size < 0) throw invalidArchive('has a size that is no number');
    const padding = (BLOCK - (size % BLOCK)) % BLOCK;
    if ('xgLK'.includes(type)) {
      if (size > LONG_HEADER_BYTES_MAX) throw invalidArchive('has a header that is too long');
      const body = Buffer.from(await pieces.exactly(size));
      if (type === 'x') next = { ...next, ...attributes(body) };
      if (type === 'L') next = { ...next, path: text(body, 0, body.length) };
    } else if (type === '0' || type === '\0' || type === '7') {
      await sink.file(plain(next.path ?? nameOf(header)), pieces.stream(size));
      next = {};
    } else if (type === '5') {
      sink.skip();
      for await (const _ of pieces.stream(size));
      next = {};
    } else {
      const name = JSON.stringify((next.path ?? nameOf(header)).slice(0, 80));
      throw invalidArchive(`holds a link, device or sparse file, ${name}`);
    }
    await pieces.exactly(padding);
  }
}

/** Unpacks a .tar.gz into the sink. @throws AppError `invalid_archive`, and what the sink throws */
export async function readTarGz(file: SpooledFile, sink: ArchiveSink): Promise<void> {
  // an error of either ends the other; it is told by the reading below
  const unpacked = pipeline(file.stream(), createGunzip(), () => undefined);
  try {
    await readEntries(new Pieces(unpacked), sink);
  } catch (error) {
    if (isAppError(error)) throw error;
    throw invalidArchive(`cannot be read as .tar.gz: ${error instanceof Error ? error.message : ''}`, error);
  } finally {
    unpacked.destroy();
  }
}
