import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { Transform } from 'node:stream';

/** SHA-256 of a byte sequence (64 lower-case hex digits) and its length in bytes. */
export type ContentDigest = { readonly sha256: string; readonly sizeBytes: number };

const SHA256_PATTERN = /^[0-9a-f]{64}$/;

/** True for 64 lower-case hex digits. */
export function isSha256(value: unknown): value is string {
  return typeof value === 'string' && SHA256_PATTERN.test(value);
}

/** SHA-256 as 64 lower-case hex digits; a string counts as its UTF-8 bytes. */
export function sha256Hex(data: Uint8Array | string): string {
  return createHash('sha256').update(data).digest('hex');
}

/** Digest of everything a stream yields, one chunk in memory at a time; rejects with the stream's own error. */
export async function digestStream(chunks: AsyncIterable<Uint8Array>): Promise<ContentDigest> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const chunk of chunks) {
    hash.update(chunk);
    sizeBytes += chunk.byteLength;
  }
  return { sha256: hash.digest('hex'), sizeBytes };
}

/** Digest of a file, read as a stream; rejects with the file system's error (ENOENT, EACCES, EISDIR). */
export function digestFile(path: string): Promise<ContentDigest> {
  return digestStream(createReadStream(path));
}

/** A pass-through stream that digests what flows by; `result()` is valid once it ended and throws before. */
export function createDigestTransform(): Transform & { result(): ContentDigest } {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  let sha256: string | undefined;
  const transform = new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      hash.update(chunk);
      sizeBytes += chunk.byteLength;
      done(null, chunk);
    },
    flush(done) {
      sha256 = hash.digest('hex');
      done();
    },
  });
  return Object.assign(transform, {
    result(): ContentDigest {
      if (sha256 === undefined) throw new Error('The digest is known only after the stream has ended.');
      return { sha256, sizeBytes };
    },
  });
}
