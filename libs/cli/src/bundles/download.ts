import type { ArtifactRef } from '@millrace/contracts';
import { AppError, isAppError } from '@millrace/contracts';
import type { BundleParts } from '@millrace/sdk';

/** A download on which nothing comes for this long is given up (ms). */
const DOWNLOAD_TIMEOUT_MS = 600_000;
/** URLs live for 15 minutes; older ones than this are asked for again (ms). */
const URLS_FRESH_MS = 10 * 60_000;

export type Downloads = {
  /** Opens a file from a byte on; `from` is 0 where the object store sends all of it. */
  open(file: ArtifactRef, from: number): Promise<{ from: number; content: AsyncIterable<Uint8Array> }>;
};

/** Downloads of the files of a version; its URLs are renewed by `again` while a long export runs. */
export function createDownloads(
  first: BundleParts,
  options: { again: () => Promise<BundleParts>; signal: AbortSignal; now?: () => number },
): Downloads {
  const now = options.now ?? Date.now;
  let parts = first;
  let takenAt = now();

  async function urlOf(path: string): Promise<string> {
    if (now() - takenAt > URLS_FRESH_MS) {
      const fresh = await options.again();
      if (fresh.packageDigest !== first.packageDigest)
        throw new AppError(
          'version_conflict',
          'The version was replaced while it was downloaded; begin anew.',
        );
      parts = fresh;
      takenAt = now();
    }
    const file = parts.files.find((one) => one.path === path);
    if (file === undefined)
      throw new AppError('manifest_mismatch', `The platform gives no address for ${path}.`);
    return file.url;
  }

  return {
    async open(file, from) {
      const url = await urlOf(file.path);
      const signal = AbortSignal.any([options.signal, AbortSignal.timeout(DOWNLOAD_TIMEOUT_MS)]);
      const headers: Record<string, string> = from === 0 ? {} : { range: `bytes=${from}-` };
      const response = await fetch(url, { signal, headers }).catch((cause: unknown) => {
        throw new AppError('storage_unavailable', `The object store does not answer for ${file.path}.`, {
          cause,
        });
      });
      if (response.status === 404)
        throw new AppError('artifact_missing', `The object store has no ${file.path}.`);
      if (!response.ok || response.body === null)
        throw new AppError(
          'storage_unavailable',
          `The object store answered ${response.status} for ${file.path}.`,
        );
      const content = readBody(response.body as unknown as AsyncIterable<Uint8Array>, file.path);
      return { from: response.status === 206 ? from : 0, content };
    },
  };
}

async function* readBody(body: AsyncIterable<Uint8Array>, path: string): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (cause) {
    if (isAppError(cause)) throw cause;
    throw new AppError('storage_unavailable', `The download of ${path} broke off; try again.`, { cause });
  }
}
