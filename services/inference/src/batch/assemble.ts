import { Readable } from 'node:stream';
import type { BlobRef, Storage } from '@millrace/storage';
import type { BatchJobRow, BatchTaskRow } from './batch.table.ts';
import type { BatchResult, ChunkResult, StoredObject } from './batch-spec.ts';
import { writeNpyHead } from './input/npy-head.ts';

/** Parts that are put together into one object (bytes); of a larger result there are the parts and the manifest. */
export const RESULT_BYTES_MAX = 2 * 1024 * 1024 * 1024;
const PAGE = 500;

export type AssembleDeps = {
  storage: Pick<Storage, 'getBlob' | 'putBlob'>;
  /** Done chunks after a position, in order. */
  parts: (after: number, limit: number) => Promise<BatchTaskRow[]>;
};

type Part = ChunkResult & { index: number; firstRow: number; inputRows: number };

async function readParts(deps: AssembleDeps): Promise<Part[]> {
  const parts: Part[] = [];
  for (let after = -1; ; ) {
    const page = await deps.parts(after, PAGE);
    for (const { position, result, input } of page) {
      if (result !== null && input !== null)
        parts.push({ ...result, index: position, firstRow: input.firstRow, inputRows: input.rows });
    }
    if (page.length < PAGE) return parts;
    after = page.at(-1)?.position ?? after;
  }
}

/** The bytes of blobs one after the other, each verified, without the first `skip` bytes of each. */
async function* joined(
  storage: AssembleDeps['storage'],
  blobs: readonly { sha256: string; skip: number }[],
): AsyncGenerator<Buffer> {
  for (const { sha256, skip } of blobs) {
    let left = skip;
    for await (const piece of (await storage.getBlob(sha256)) as AsyncIterable<Buffer>) {
      if (left >= piece.length) left -= piece.length;
      else {
        yield left === 0 ? piece : piece.subarray(left);
        left = 0;
      }
    }
  }
}

async function* withFront(front: Buffer, rest: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  yield front;
  yield* rest;
}

function joinParts(
  storage: AssembleDeps['storage'],
  parts: readonly Part[],
  rows: number,
): AsyncGenerator<Buffer> {
  const filled = parts.find((part) => part.rows > 0) ?? parts[0];
  if (filled?.npy !== undefined) {
    const front = writeNpyHead(filled.npy.descr, [rows, ...filled.npy.shape]);
    const bodies = parts.map(({ part, headBytes }) => ({ sha256: part.sha256, skip: headBytes }));
    return withFront(front, joined(storage, bodies));
  }
  // the front of the first part is that of the whole
  return joined(
    storage,
    parts.map(({ part, headBytes }, i) => ({ sha256: part.sha256, skip: i === 0 ? 0 : headBytes })),
  );
}

async function joinErrors(
  storage: AssembleDeps['storage'],
  parts: readonly Part[],
): Promise<StoredObject | null> {
  const blobs = parts.flatMap(({ errors }) => (errors === null ? [] : [{ sha256: errors.sha256, skip: 0 }]));
  if (blobs.length === 0) return null;
  const blob = await storage.putBlob(Readable.from(joined(storage, blobs)));
  return { ...blob, rows: parts.reduce((sum, { skipped }) => sum + skipped, 0) };
}

function manifestOf(job: BatchJobRow, parts: readonly Part[], rest: object): Buffer {
  const { model, version, modelVersionId, packageDigest, output, onRowError } = job.spec;
  return Buffer.from(
    JSON.stringify({
      jobId: job.id,
      model,
      version,
      modelVersionId,
      packageDigest,
      format: output.format,
      onRowError,
      sources: job.sources.map(({ path, sizeBytes, sha256, etag }) => ({ path, sizeBytes, sha256, etag })),
      ...rest,
      parts: parts.map(({ index, firstRow, inputRows, rows, skipped, part, errors }) => ({
        index,
        firstRow,
        inputRows,
        rows,
        skipped,
        ...part,
        errors,
      })),
    }),
  );
}

/** Puts the parts of a job together: a manifest of them in order, one object of all rows where it is not too large. */
export async function assemble(job: BatchJobRow, deps: AssembleDeps): Promise<BatchResult> {
  const { storage } = deps;
  const parts = await readParts(deps);
  const rows = parts.reduce((sum, part) => sum + part.rows, 0);
  const sizeBytes = parts.reduce((sum, { part }) => sum + part.sizeBytes, 0);
  // arrays of rows that differ in shape cannot be one; within a part that is found when it is written
  const shapes = new Set(
    parts.flatMap(({ rows: own, npy }) => (own > 0 && npy !== undefined ? [String(npy.shape)] : [])),
  );
  const result: StoredObject | null =
    sizeBytes <= RESULT_BYTES_MAX && shapes.size <= 1
      ? { ...(await storage.putBlob(Readable.from(joinParts(storage, parts, rows)))), rows }
      : null;
  const errors = await joinErrors(storage, parts);
  const skipped = parts.reduce((sum, part) => sum + part.skipped, 0);
  const manifest: BlobRef = await storage.putBlob(manifestOf(job, parts, { rows, skipped, result, errors }));
  return { manifest, result, errors };
}
