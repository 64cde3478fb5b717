import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { mkdir, open, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ArtifactRef } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import { digestFile, tarEnd, tarFileHeader, tarPadding } from '@millrace/integrity';
import type { Downloads } from './download.ts';

/** Where a bundle is written; it appears under its name only with `finish`. */
export type BundleWriter = {
  document(path: string, bytes: Buffer): Promise<void>;
  /** Writes a file of the package and checks its digest on the way. Throws `digest_mismatch` and what a download throws. */
  file(path: string, file: ArtifactRef, downloads: Downloads): Promise<void>;
  finish(): Promise<void>;
  /** Ends without a bundle; what a second attempt can use is kept. */
  abandon(): Promise<void>;
};

/** Is told how many bytes came. */
export type OnBytes = (sizeBytes: number) => void;

/**
 * A bundle as a folder. It grows in `FOLDER.partial`, where another attempt finds what came: whole files by their
 * digest, and the beginning of one that broke off.
 */
export async function createFolderWriter(target: string, onBytes: OnBytes): Promise<BundleWriter> {
  const root = `${target}.partial`;
  const written = new Set<string>();
  await mkdir(root, { recursive: true });

  const place = async (path: string): Promise<string> => {
    const file = join(root, ...path.split('/'));
    await mkdir(dirname(file), { recursive: true });
    written.add(file);
    return file;
  };

  return {
    document: async (path, bytes) => await writeFile(await place(path), bytes),
    async file(path, ref, downloads) {
      const file = await place(path);
      const there = await digestFile(file).catch(() => undefined);
      if (there?.sha256 === ref.sha256) return onBytes(ref.sizeBytes);
      await rm(file, { force: true });
      await download(`${file}.part`, ref, downloads, onBytes);
      await rename(`${file}.part`, file);
    },
    async finish() {
      // left behind by an attempt for another version
      for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
        const path = join(entry.parentPath, entry.name);
        if (!entry.isDirectory() && !written.has(path)) await rm(path);
      }
      await rename(root, target);
    },
    abandon: async () => undefined,
  };
}

async function download(
  path: string,
  ref: ArtifactRef,
  downloads: Downloads,
  onBytes: OnBytes,
): Promise<void> {
  const had = await stat(path).then(
    ({ size }) => Math.min(size, ref.sizeBytes),
    () => 0,
  );
  // a request for nothing is answered with an error: take the last byte once more
  const wanted = had === ref.sizeBytes ? Math.max(0, had - 1) : had;
  const { from, content } = await downloads.open(ref, wanted);
  const handle = await open(path, from === 0 ? 'w' : 'r+');
  const hash = createHash('sha256');
  try {
    if (from > 0) {
      await handle.truncate(from);
      for await (const chunk of createReadStream(path, { end: from - 1 })) hash.update(chunk as Buffer);
      onBytes(from);
    }
    let sizeBytes = from;
    for await (const chunk of content) {
      sizeBytes += chunk.length;
      if (sizeBytes > ref.sizeBytes) break;
      hash.update(chunk);
      await writeAll(handle, chunk, sizeBytes - chunk.length);
      onBytes(chunk.length);
    }
    assertDigest(ref, hash.digest('hex'), sizeBytes);
    await handle.sync();
  } catch (error) {
    await handle.close();
    if (error instanceof AppError && error.code === 'digest_mismatch') await rm(path, { force: true });
    throw error;
  }
  await handle.close();
}

/** A bundle as one .tar, written to `FILE.partial` from its beginning to its end. */
export async function createTarWriter(target: string, onBytes: OnBytes): Promise<BundleWriter> {
  const partial = `${target}.partial`;
  const handle = await open(partial, 'w');
  return {
    async document(path, bytes) {
      await writeAll(handle, tarFileHeader(path, bytes.length));
      await writeAll(handle, bytes);
      await writeAll(handle, tarPadding(bytes.length));
    },
    async file(path, ref, downloads) {
      await writeAll(handle, tarFileHeader(path, ref.sizeBytes));
      const hash = createHash('sha256');
      let sizeBytes = 0;
      for await (const chunk of (await downloads.open(ref, 0)).content) {
        sizeBytes += chunk.length;
        if (sizeBytes > ref.sizeBytes) break;
        hash.update(chunk);
        await writeAll(handle, chunk);
        onBytes(chunk.length);
      }
      assertDigest(ref, hash.digest('hex'), sizeBytes);
      await writeAll(handle, tarPadding(ref.sizeBytes));
    },
    async finish() {
      await writeAll(handle, tarEnd());
      await handle.sync();
      await handle.close();
      await rename(partial, target);
    },
    async abandon() {
      await handle.close();
      await rm(partial, { force: true });
    },
  };
}

function assertDigest(ref: ArtifactRef, actual: string, sizeBytes: number): void {
  if (actual === ref.sha256 && sizeBytes === ref.sizeBytes) return;
  throw new AppError(
    'digest_mismatch',
    `The file ${ref.path} is not the one that was signed; nothing was exported.`,
    { details: { path: ref.path, expected: ref.sha256, actual } },
  );
}

/** Writes at a place, or where the last write ended. */
async function writeAll(handle: FileHandle, bytes: Uint8Array, at?: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const place = at === undefined ? null : at + done;
    done += (await handle.write(bytes, done, bytes.length - done, place)).bytesWritten;
  }
}
