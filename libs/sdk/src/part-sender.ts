import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '@millrace/contracts';
import type { Page } from './shapes.ts';

const MIB = 1024 * 1024;
/** Size of a part unless there would be too many (bytes). */
const PART_BYTES = 16 * MIB;
/** Parts of all files of an upload. */
const PARTS_MAX = 10_000;
/** Parts on their way at once: with PART_BYTES this bounds the memory of an upload. */
const PARTS_AT_ONCE = 3;
/** Attempts to send a part. */
const ATTEMPTS_MAX = 4;
/** A part on which nothing moves for this long is sent again (ms). */
const PART_TIMEOUT_MS = 300_000;

/** A file to upload; `read` gives the bytes from `start` up to but not including `end`. */
export type UploadSource = {
  readonly name: string;
  readonly sizeBytes: number;
  read(start: number, end: number): Promise<Uint8Array>;
};

export type SendProgress = {
  /** Is told of bytes that arrived, also of those that an earlier try had sent. */
  onBytes?: (sizeBytes: number) => void;
  signal?: AbortSignal;
};

/** Where a part goes, and whether it is there already. */
export type PartAddress = {
  file: string;
  number: number;
  sizeBytes: number;
  url: string;
  headers: Record<string, string>;
  isStored?: boolean;
};

/** A file and its digests. */
export type DigestedFile = {
  source: UploadSource;
  sha256: string;
  partSizeBytes: number;
  partDigests: string[];
};

/** Reads the files once for their digests and those of their parts; by name. */
export async function digestFiles(sources: readonly UploadSource[]): Promise<Map<string, DigestedFile>> {
  const partSizeBytes = partSize(sources);
  const files = new Map<string, DigestedFile>();
  for (const source of sources) files.set(source.name, await digested(source, partSizeBytes));
  return files;
}

/** What a request that begins an upload says of the files. */
export function describeFiles(files: ReadonlyMap<string, DigestedFile>) {
  return [...files.values()].map(({ source: { name, sizeBytes }, ...digests }) => ({
    name,
    sizeBytes,
    ...digests,
  }));
}

/**
 * Sends every part that the object store lacks, a few at once; `nextPage` gives further addresses.
 * @throws AppError `checksum_mismatch` for a file that changed, `storage_unavailable`, `request_cancelled`
 */
export async function sendParts(
  first: Page<PartAddress>,
  nextPage: (cursor: string) => Promise<Page<PartAddress>>,
  files: ReadonlyMap<string, DigestedFile>,
  progress: SendProgress,
  fetchFrom: typeof fetch,
): Promise<void> {
  for (let page = first; ; ) {
    const waiting = [...page.items];
    const lane = async (): Promise<void> => {
      for (let address = waiting.shift(); address !== undefined; address = waiting.shift()) {
        const file = files.get(address.file);
        if (file === undefined) throw new AppError('internal', `Nobody has a file ${address.file}.`);
        if (address.isStored === true) progress.onBytes?.(address.sizeBytes);
        else await sendPart(address, file, progress, fetchFrom);
      }
    };
    await Promise.all(Array.from({ length: PARTS_AT_ONCE }, lane));
    if (page.nextCursor === null) return;
    // addresses live an hour: each page is asked for when its turn comes
    page = await nextPage(page.nextCursor);
  }
}

async function sendPart(
  address: PartAddress,
  { source, partSizeBytes }: DigestedFile,
  { onBytes, signal }: SendProgress,
  fetchFrom: typeof fetch,
): Promise<void> {
  const start = (address.number - 1) * partSizeBytes;
  for (let attempt = 1; ; attempt += 1) {
    const body = (await source.read(start, start + address.sizeBytes)) as Uint8Array<ArrayBuffer>;
    const timeout = AbortSignal.timeout(PART_TIMEOUT_MS);
    const response = await fetchFrom(address.url, {
      method: 'PUT',
      body,
      headers: address.headers,
      signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal]),
    }).catch((cause: unknown) => (cause instanceof Error ? cause : new Error(String(cause))));
    if (signal?.aborted === true)
      throw new AppError('request_cancelled', 'The upload was given up by its signal.');
    if (response instanceof Response && response.ok) return onBytes?.(body.length);
    const why = response instanceof Response ? `answered ${response.status}` : 'does not answer';
    const isChanged = response instanceof Response && response.status === 400;
    if (isChanged || attempt >= ATTEMPTS_MAX) {
      throw new AppError(
        isChanged ? 'checksum_mismatch' : 'storage_unavailable',
        `The object store ${why} for part ${address.number} of ${address.file}; upload again.`,
      );
    }
    await sleep(250 * 2 ** attempt, undefined, signal === undefined ? {} : { signal });
  }
}

/** One size for all parts, so that there are not too many of them. */
function partSize(sources: readonly UploadSource[]): number {
  const sizeBytes = sources.reduce((sum, source) => sum + source.sizeBytes, 0);
  const least = Math.ceil(sizeBytes / Math.max(1, PARTS_MAX - sources.length));
  return Math.max(PART_BYTES, Math.ceil(least / MIB) * MIB);
}

async function digested(source: UploadSource, partSizeBytes: number): Promise<DigestedFile> {
  const whole = createHash('sha256');
  const partDigests: string[] = [];
  for (let start = 0; start < source.sizeBytes; start += partSizeBytes) {
    const part = await source.read(start, Math.min(source.sizeBytes, start + partSizeBytes));
    whole.update(part);
    partDigests.push(createHash('sha256').update(part).digest('hex'));
  }
  return { source, sha256: whole.digest('hex'), partSizeBytes, partDigests };
}
