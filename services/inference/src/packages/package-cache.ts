import { mkdir, readdir, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
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

type CachedFile = { path: string; sizeBytes: number; usedAt: number };

async function listFiles(root: string): Promise<CachedFile[]> {
  const names = await readdir(root, { recursive: true });
  const files: CachedFile[] = [];
  for (const name of names) {
    const path = join(root, name);
    const info = await stat(path).catch(() => undefined);
    if (info?.isFile() === true) files.push({ path, sizeBytes: info.size, usedAt: info.mtimeMs });
  }
  return files.sort((a, b) => a.usedAt - b.usedAt);
}

/** A cache in `folder`; when it is over `bytesMax`, the files used longest ago are removed. */
export function createPackageCache(options: {
  folder: string;
  bytesMax: number;
  storage: Pick<Storage, 'downloadBlob'>;
}): PackageCache {
  const root = join(options.folder, 'cas');
  const inFlight = new Map<string, Promise<string>>();

  const pathOf = (sha256: string): string => {
    if (!SHA256.test(sha256)) throw new AppError('internal', 'A digest of a manifest is not a SHA-256.');
    return join(root, sha256.slice(0, 2), sha256);
  };

  async function prune(keep: string): Promise<void> {
    const files = await listFiles(root);
    let total = files.reduce((sum, file) => sum + file.sizeBytes, 0);
    for (const file of files) {
      if (total <= options.bytesMax) return;
      if (file.path === keep) continue;
      await rm(file.path, { force: true });
      total -= file.sizeBytes;
    }
  }

  async function fetchOnce(sha256: string, path: string): Promise<string> {
    const now = new Date();
    const isThere = await utimes(path, now, now).then(
      () => true,
      () => false,
    );
    if (isThere) return path;
    await mkdir(join(root, sha256.slice(0, 2)), { recursive: true });
    await options.storage.downloadBlob(sha256, path);
    await prune(path);
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
    discard: (sha256) => rm(pathOf(sha256), { force: true }),
  };
}
