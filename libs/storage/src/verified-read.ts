import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { AppError } from '@millrace/contracts';
import { toStorageError } from './errors.ts';

/**
 * Passes a blob on while hashing it. The stream ends with `artifact_corrupt` instead of its end when the bytes do not
 * have the digest, and with `storage_unavailable` when the connection breaks.
 */
export function verifiedStream(source: Readable, sha256: string): Readable {
  async function* verify(): AsyncGenerator<Buffer> {
    const hash = createHash('sha256');
    try {
      for await (const chunk of source as AsyncIterable<Buffer>) {
        hash.update(chunk);
        yield chunk;
      }
    } catch (error) {
      throw toStorageError(error, `reading blob ${sha256}`);
    }
    if (hash.digest('hex') !== sha256) {
      throw new AppError(
        'artifact_corrupt',
        `The object store gave other bytes for blob ${sha256}; they were not used.`,
      );
    }
  }
  return Readable.from(verify(), { objectMode: false });
}

/** Reads a stream into one buffer; throws `payload_too_large` when it is over `maxBytes`. */
export async function readAll(source: Readable, maxBytes: number, what: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of source as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > maxBytes) {
      throw new AppError(
        'payload_too_large',
        `${what} is over the bound of ${maxBytes} bytes for reading into memory.`,
      );
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, sizeBytes);
}
