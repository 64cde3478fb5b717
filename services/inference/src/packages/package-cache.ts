import { mkdir, readdir, rm, stat, utimes } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { AppError } from '@millrace/contracts';
import type { Storage } from '@millrace/storage';

/** The node's copy of immutable files, named by their SHA-256. */
export type PackageCache = {
  /**
   * Path of the file with this digest, fetched from S3 at most once at a time and verified on the way.
   * Throws `artifact_missing`, `artifact_corrupt` or `storage_unavailable`.
   */
  fetch(sha256: string): Promise<string>;
  /** Forgets a file whose bytes turned out to be wrong. */
  discard(sha256: string): Promise<void>;
};

const SHA256 = /^[0-9a-f]{64}$/;

type CachedFile = { sha256: string; sizeBytes: number; usedAt: number };

async function listFiles(root: string): Promise<CachedFile[]> {
  const names = await readdir(root, { recursive: true }).catch(() => []);
  const files: CachedFile[] = [];
  for (const name of names) {
    const sha256 = basename(name);
    const info = SHA256.test(sha256) ? await stat(join(root, name)).catch(() => undefined) : undefined;
    if (info?.isFile() === true) files.push({ sha256, sizeBytes: info.size, usedAt: info.mtimeMs });
  }
  return files.sort((a, b) => a.usedAt - b.usedAt);
}

/** Sizes of the files that are there, the one used longest ago first; read from the folder once. */
type Shelf = { sizes: Map<string, number>; totalBytes: number };

async function openShelf(root: string): Promise<Shelf> {
  const files = await listFiles(root);
  const sizes = new Map(files.map(({ sha256, sizeBytes }) => [sha256, sizeBytes]));
  return { sizes, totalBytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) };
}

/** A cache in `folder`; when it is over `bytesMax`, the files used longest ago are removed. */
export function createPackageCache(options: {
  folder: string;
  bytesMax: number;
  storage: Pick<Storage, 'downloadBlob'>;
}): PackageCache {
  const root = join(options.folder, 'cas');
  const inFlight = new Map<string, Promise<string>>();
  let opening: Promise<Shelf> | undefined;

  const pathOf = (sha256: string): string => {
    if (!SHA256.test(sha256)) throw new AppError('internal', 'A digest of a manifest is not a SHA-256.');
    return join(root, sha256.slice(0, 2), sha256);
  };

  /** Takes a file off the shelf, or puts it there as the one used last. */
  function shelve(shelf: Shelf, sha256: string, sizeBytes: number | undefined): void {
    shelf.totalBytes -= shelf.sizes.get(sha256) ?? 0;
    shelf.sizes.delete(sha256);
    if (sizeBytes === undefined) return;
    shelf.sizes.set(sha256, sizeBytes);
    shelf.totalBytes += sizeBytes;
  }

  async function prune(shelf: Shelf, keep: string): Promise<void> {
    for (const sha256 of shelf.sizes.keys()) {
      if (shelf.totalBytes <= options.bytesMax) return;
      if (sha256 === keep) continue;
      shelve(shelf, sha256, undefined);
      await rm(pathOf(sha256), { force: true });
    }
  }

  async function fetchOnce(sha256: string, path: string): Promise<string> {
    opening ??= openShelf(root);
    const shelf = await opening;
    const now = new Date();
    const isThere = await utimes(path, now, now).then(
      () => true,
      () => false,
    );
    if (!isThere) {
      await mkdir(join(root, sha256.slice(0, 2)), { recursive: true });
      await options.storage.downloadBlob(sha256, path);
    }
    const known = isThere ? shelf.sizes.get(sha256) : undefined;
    // gone again when it was discarded meanwhile
    shelve(shelf, sha256, known ?? (await stat(path).catch(() => undefined))?.size);
    if (!isThere) await prune(shelf, sha256);
    return path;
  }

  return {
    fetch(sha256) {
      const running = inFlight.get(sha256);
      if (running !== undefined) return running;
      const work = fetchOnce(sha256, pathOf(sha256)).finally(() => inFlight.delete(sha256));
      inFlight.set(sha256, work);
      return work;
    },
    async discard(sha256) {
      const shelf = await opening;
      if (shelf !== undefined) shelve(shelf, sha256, undefined);
      await rm(pathOf(sha256), { force: true });
    },
  };
}
