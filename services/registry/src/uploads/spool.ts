import { createHash, randomUUID } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { open, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { AppError } from '@millrace/contracts';
import type { KnownBytes } from '@millrace/storage';

/** A received file on disk; it is readable until its area is disposed of. */
export type SpooledFile = KnownBytes & {
  /** Where it lies: an open file, and the position of its first byte there. */
  readonly place: { readonly fd: number; readonly start: number };
  /** The whole file in memory. */
  bytes(): Promise<Buffer>;
  /** Bytes `from` to `to`, by default all. */
  stream(from?: number, to?: number): Readable;
};

/** Where the files of one upload are kept: a file without a name, which vanishes with `dispose` or with the process. */
export type SpoolArea = {
  /** Keeps a stream, hashed on the way; throws what `tooLarge` makes over `bytesMax`, and the stream's own error. */
  add(source: AsyncIterable<Buffer>, bytesMax: number, tooLarge: () => AppError): Promise<SpooledFile>;
  dispose(): Promise<void>;
};

const READ_BYTES = 256 * 1024;

async function* readRange(handle: FileHandle, from: number, to: number): AsyncGenerator<Buffer> {
  for (let at = from; at < to; ) {
    const piece = Buffer.allocUnsafe(Math.min(READ_BYTES, to - at));
    const { bytesRead } = await handle.read(piece, 0, piece.length, at);
    if (bytesRead === 0) throw new Error('A spooled upload became shorter.');
    at += bytesRead;
    yield piece.subarray(0, bytesRead);
  }
}

async function readInto(handle: FileHandle, at: number, bytes: Buffer): Promise<Buffer> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesRead } = await handle.read(bytes, done, bytes.length - done, at + done);
    if (bytesRead === 0) throw new Error('A spooled upload became shorter.');
    done += bytesRead;
  }
  return bytes;
}

/** Opens an empty area in the folder for temporary files. */
export async function openSpoolArea(): Promise<SpoolArea> {
  const path = join(tmpdir(), `millrace-upload-${randomUUID()}`);
  const handle = await open(path, 'wx+', 0o600);
  await unlink(path);
  let end = 0;
  /** One file after the other: each lies in one piece. */
  let turn: Promise<unknown> = Promise.resolve();

  async function append(
    source: AsyncIterable<Buffer>,
    bytesMax: number,
    tooLarge: () => AppError,
  ): Promise<SpooledFile> {
    const hash = createHash('sha256');
    const start = end;
    for await (const chunk of source) {
      if (end + chunk.length - start > bytesMax) throw tooLarge();
      hash.update(chunk);
      for (let done = 0; done < chunk.length; )
        done += (await handle.write(chunk, done, chunk.length - done, end + done)).bytesWritten;
      end += chunk.length;
    }
    const sizeBytes = end - start;
    const stream = (from = 0, to = sizeBytes): Readable =>
      Readable.from(readRange(handle, start + from, start + to), { objectMode: false });
    return {
      sha256: hash.digest('hex'),
      sizeBytes,
      place: { fd: handle.fd, start },
      read: (at, length, into = Buffer.allocUnsafe(length)) =>
        readInto(handle, start + at, into.subarray(0, length)),
      bytes: () => readInto(handle, start, Buffer.allocUnsafeSlow(sizeBytes)),
      stream,
    };
  }

  return {
    add(source, bytesMax, tooLarge) {
      const work = turn.then(() => append(source, bytesMax, tooLarge));
      turn = work.catch(() => undefined);
      return work;
    },
    async dispose() {
      await turn;
      await handle.close();
    },
  };
}
