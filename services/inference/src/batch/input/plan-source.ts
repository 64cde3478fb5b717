import { AppError, isAppError } from '@millrace/contracts';
import type { Storage } from '@millrace/storage';
import { blobKey } from '@millrace/storage';
import { bytesPerElement } from '../../tensors/dtype.ts';
import type { BatchSource, BatchSpec, ChunkInput, SourceHead } from '../batch-spec.ts';
import { readCsvRecord } from './csv.ts';
import type { Cut } from './cutter.ts';
import { cutRows, cutText } from './cutter.ts';
import { NPY_HEAD_BYTES_MAX, npyType, readNpyHead } from './npy-head.ts';
import { openParquet } from './parquet.ts';

/** One row of an array (bytes). */
const ROW_BYTES_MAX = 16 * 1024 * 1024;

export type PlanDeps = {
  storage: Pick<Storage, 'getBlob' | 'openRange' | 'putBlob'>;
  spec: BatchSpec;
  /** Keeps what the front of the source says of its rows. */
  onHead: (head: SourceHead) => Promise<void>;
};

/** An object that changed is not the one that was submitted. */
function asChanged(error: unknown, source: BatchSource): unknown {
  return isAppError(error) && error.code === 'precondition_failed'
    ? new AppError('batch_input_changed', `${source.path} was replaced after the job began; submit it again.`)
    : error;
}

async function openBytes(
  storage: PlanDeps['storage'],
  source: BatchSource,
  range: { start: number; end: number },
): Promise<Buffer> {
  try {
    const etag = source.etag === undefined ? {} : { etag: source.etag };
    const parts: Buffer[] = [];
    for await (const part of await storage.openRange(source.key, { ...range, ...etag }))
      parts.push(part as Buffer);
    return Buffer.concat(parts);
  } catch (error) {
    throw asChanged(error, source);
  }
}

/** All bytes of a source, those of a blob checked against their digest. */
async function* streamOf(storage: PlanDeps['storage'], source: BatchSource): AsyncGenerator<Buffer> {
  try {
    const etag = source.etag === undefined ? {} : { etag: source.etag };
    const stream =
      source.sha256 === undefined
        ? await storage.openRange(source.key, { start: 0, end: source.sizeBytes, ...etag })
        : await storage.getBlob(source.sha256);
    yield* stream as AsyncIterable<Buffer>;
  } catch (error) {
    throw asChanged(error, source);
  }
}

async function* planText(
  deps: PlanDeps,
  source: BatchSource,
  format: 'csv' | 'jsonl',
  firstRow: number,
): AsyncGenerator<Cut> {
  const { spec, storage } = deps;
  const isCsv = format === 'csv';
  const form = isCsv
    ? ({ type: 'csv', delimiter: spec.csv.delimiter.charCodeAt(0) } as const)
    : ({ type: 'lines' } as const);
  yield* cutText(streamOf(storage, source), {
    form,
    hasHeader: isCsv && spec.csv.header,
    chunkRows: spec.chunkRows,
    firstRow,
    onHeader: async (record) => deps.onHead({ columns: readCsvRecord(record, spec.csv.delimiter) }),
  });
}

async function* planNpy(deps: PlanDeps, source: BatchSource): AsyncGenerator<Cut> {
  const { storage, spec } = deps;
  const end = Math.min(source.sizeBytes, NPY_HEAD_BYTES_MAX);
  const { headBytes, descr, shape } = readNpyHead(await openBytes(storage, source, { start: 0, end }));
  const [rows = 0, ...inner] = shape;
  const rowBytes = inner.reduce((product, size) => product * size, bytesPerElement(npyType(descr)));
  if (rowBytes === 0 || rowBytes > ROW_BYTES_MAX) {
    throw new AppError(
      'batch_input_invalid',
      `${source.path} has ${rowBytes} bytes in a row; 1 to ${ROW_BYTES_MAX} are taken.`,
    );
  }
  if (headBytes + rows * rowBytes !== source.sizeBytes) {
    throw new AppError(
      'batch_input_invalid',
      `${source.path} should have ${headBytes + rows * rowBytes} bytes by its shape and has ${source.sizeBytes}.`,
    );
  }
  await deps.onHead({ npy: { descr, shape } });
  yield* cutRows(streamOf(storage, source), { headBytes, rowBytes, rows, chunkRows: spec.chunkRows });
}

/** Rows of a Parquet file become JSON lines among the blobs: each row group is read once, whatever happens later. */
async function* planParquet(deps: PlanDeps, source: BatchSource): AsyncGenerator<Cut & { key: string }> {
  const { storage, spec } = deps;
  if (source.sha256 !== undefined) for await (const _ of streamOf(storage, source));
  const file = {
    byteLength: source.sizeBytes,
    async slice(start: number, end = source.sizeBytes): Promise<ArrayBuffer> {
      if (end <= start) return new ArrayBuffer(0);
      return new Uint8Array(await openBytes(storage, source, { start, end })).buffer;
    },
  };
  const { columns, chunks } = await openParquet(file, spec.chunkRows);
  await deps.onHead({ columns });
  for await (const { rows, lines } of chunks()) {
    const { sha256 } = await storage.putBlob(lines);
    yield { key: blobKey(sha256), start: 0, end: lines.length, rows, sha256 };
  }
}

/**
 * Cuts a source into chunks; the same source is always cut alike.
 * Throws `batch_input_invalid`, `batch_input_changed` and errors of the object store.
 */
export async function* planSource(
  deps: PlanDeps,
  source: BatchSource,
  place: { source: number; firstRow: number },
): AsyncGenerator<ChunkInput> {
  const { format } = deps.spec;
  if (source.sizeBytes === 0) return;
  let { firstRow } = place;
  const cuts =
    format === 'npy'
      ? planNpy(deps, source)
      : format === 'parquet'
        ? planParquet(deps, source)
        : planText(deps, source, format, firstRow);
  for await (const cut of cuts as AsyncIterable<Cut & { key?: string }>) {
    const { key = source.key, start, end, rows, sha256 } = cut;
    yield {
      source: place.source,
      key,
      format: format === 'parquet' ? 'jsonl' : format,
      start,
      end,
      rows,
      sha256,
      firstRow,
    };
    firstRow += rows;
  }
}
