import { createHash, randomUUID } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { open, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { AppError } from '@millrace/contracts';

/** A received file on disk, without a name: it vanishes with `dispose` or with the process. */
export type SpooledFile = {
  readonly sha256: string;
  readonly sizeBytes: number;
  /** The whole file in memory. */
  bytes(): Promise<Buffer>;
  stream(): Readable;
  dispose(): Promise<void>;
};

/**
 * Writes a stream to disk while it is hashed; a stream that fails leaves nothing behind.
 * @throws AppError `payload_too_large` over `maxBytes`, and the stream's own error
 */
export async function spoolFile(source: Readable, maxBytes: number): Promise<SpooledFile> {
  const path = join(tmpdir(), `millrace-upload-${randomUUID()}`);
  const handle = await open(path, 'wx+', 0o600);
  try {
    await unlink(path);
    const { sha256, sizeBytes } = await write(source, handle, maxBytes);
    return {
      sha256,
      sizeBytes,
      bytes: async () => {
        const buffer = Buffer.allocUnsafe(sizeBytes);
        for (let at = 0; at < sizeBytes; ) {
          const { bytesRead } = await handle.read(buffer, at, sizeBytes - at, at);
          if (bytesRead === 0) throw new Error('A spooled upload became shorter.');
          at += bytesRead;
        }
        return buffer;
      },
      stream: () => handle.createReadStream({ start: 0, autoClose: false }),
      dispose: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function write(source: Readable, handle: FileHandle, maxBytes: number) {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const piece of source) {
    const chunk = piece as Buffer;
    sizeBytes += chunk.length;
    if (sizeBytes > maxBytes) {
      throw new AppError('payload_too_large', `The model file is over the bound of ${maxBytes} bytes.`, {
        details: { limitBytes: maxBytes },
      });
    }
    hash.update(chunk);
    await handle.writeFile(chunk);
  }
  return { sha256: hash.digest('hex'), sizeBytes };
}
