import { createHash, randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, unlink } from 'node:fs/promises';
import { platform, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { AppError } from '@millrace/contracts';

/** Uploads up to this size are hashed in memory, larger ones in a file. */
export const SPOOL_MEMORY_BYTES = 4 * 1024 * 1024;

/** Of Linux, open(2): the path names the folder whose file system holds the file. Node has no name for it. */
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;
const WITHOUT_UNNAMED: ReadonlySet<string> = new Set(['EOPNOTSUPP', 'ENOTSUP', 'EISDIR', 'EINVAL']);

/** Bytes whose digest is known and that nobody else changes, ready to be read in parts. */
export type KnownBytes = {
  readonly sha256: string;
  readonly sizeBytes: number;
  /** The bytes from `start`; where `into` is given they may lie in it, and it must not be used until they are not needed. */
  read(start: number, length: number, into?: Buffer): Promise<Buffer>;
};

/** The same, to be disposed of. */
export type Spooled = KnownBytes & { dispose(): Promise<void> };

/** A buffer as it is, with its digest. */
export function spoolBuffer(bytes: Buffer): Spooled {
  return {
    sha256: createHash('sha256').update(bytes).digest('hex'),
    sizeBytes: bytes.length,
    read: async (start, length) => bytes.subarray(start, start + length),
    dispose: async () => undefined,
  };
}

/**
 * Reads a stream to its end while hashing it: in memory while it is small, else in a file without a name.
 * Throws `payload_too_large` as soon as it is over `maxBytes`; a stream that fails leaves nothing behind.
 */
export async function spoolStream(
  source: Readable,
  options: { spoolDir?: string | undefined; maxBytes?: number | undefined },
): Promise<Spooled> {
  const hash = createHash('sha256');
  const maxBytes = options.maxBytes ?? Number.POSITIVE_INFINITY;
  let chunks: Buffer[] = [];
  let sizeBytes = 0;
  let file: FileHandle | undefined;
  const dispose = async () => {
    if (file === undefined) return;
    const handle = file;
    file = undefined;
    await handle.close();
  };
  try {
    for await (const piece of source) {
      const chunk = Buffer.isBuffer(piece) ? piece : Buffer.from(piece as Uint8Array | string);
      sizeBytes += chunk.length;
      if (sizeBytes > maxBytes) {
        throw new AppError('payload_too_large', `The file is over the bound of ${maxBytes} bytes.`, {
          details: { limitBytes: maxBytes },
        });
      }
      hash.update(chunk);
      if (file !== undefined) await writeAll(file, chunk);
      else if (sizeBytes <= SPOOL_MEMORY_BYTES) chunks.push(chunk);
      else {
        file = await openSpool(options.spoolDir ?? tmpdir());
        for (const held of [...chunks, chunk]) await writeAll(file, held);
        chunks = [];
      }
    }
  } catch (error) {
    await dispose();
    throw error;
  }
  const memory = file === undefined ? Buffer.concat(chunks) : undefined;
  return {
    sha256: hash.digest('hex'),
    sizeBytes,
    read: async (start, length, into) =>
      memory === undefined
        ? await readAll(file, start, length, into)
        : memory.subarray(start, start + length),
    dispose,
  };
}

/** A file without a name: it goes with the process, however and whenever that ends. */
async function openSpool(folder: string): Promise<FileHandle> {
  if (platform() === 'linux') {
    const unnamed = await open(folder, O_TMPFILE | constants.O_RDWR, 0o600).catch(refusal);
    if (unnamed !== null) return unnamed;
  }
  const path = join(folder, `millrace-spool-${randomUUID()}`);
  const handle = await open(path, 'wx+', 0o600);
  await unlink(path);
  return handle;
}

/** Null for a file system (or an older kernel) that makes no files without a name; throws what else is wrong. */
function refusal(error: NodeJS.ErrnoException): null {
  if (error.code !== undefined && WITHOUT_UNNAMED.has(error.code)) return null;
  throw error;
}

async function writeAll(handle: FileHandle, chunk: Buffer): Promise<void> {
  let offset = 0;
  while (offset < chunk.length) {
    offset += (await handle.write(chunk, offset, chunk.length - offset)).bytesWritten;
  }
}

async function readAll(
  file: FileHandle | undefined,
  start: number,
  length: number,
  into: Buffer = Buffer.allocUnsafe(length),
): Promise<Buffer> {
  if (file === undefined) throw new Error('The spooled bytes were disposed of.');
  const bytes = into.subarray(0, length);
  let offset = 0;
  while (offset < length) {
    const { bytesRead } = await file.read(bytes, offset, length - offset, start + offset);
    if (bytesRead === 0) break;
    offset += bytesRead;
  }
  return bytes.subarray(0, offset);
}
