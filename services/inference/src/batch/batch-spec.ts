import type { BlobRef } from '@millrace/storage';
import type { BatchJobBody, ColumnMapping, CsvOptions, InputFormat, OutputFormat } from './batch-request.ts';

/** What a job does, fixed when it was created: names are resolved, defaults filled in. */
export type BatchSpec = {
  model: string;
  version: string;
  modelVersionId: string;
  packageDigest: string;
  input: BatchJobBody['input'];
  format: InputFormat;
  csv: CsvOptions;
  columns: ColumnMapping | null;
  output: { format: OutputFormat; names: string[] | null };
  chunkRows: number;
  onRowError: 'fail' | 'skip';
};

/** An object that a job reads; `etag` pins the bytes of one that may be replaced, `sha256` those of a blob. */
export type BatchSource = {
  path: string;
  key: string;
  sizeBytes: number;
  etag?: string;
  sha256?: string;
};

/** What the front of a file says of all its rows. */
export type SourceHead = { columns?: string[]; npy?: { descr: string; shape: number[] } };

/** The kinds of work of a job: cut the input into chunks, predict one, put the parts together. */
export type TaskKind = 'plan' | 'chunk' | 'assemble';

/** Where the rows of a chunk lie: a range of an object, and the digest of those bytes. */
export type ChunkInput = {
  source: number;
  key: string;
  format: 'csv' | 'jsonl' | 'npy';
  start: number;
  end: number;
  sha256: string;
  /** Number of the first row over all sources, from 1. */
  firstRow: number;
  rows: number;
};

/** What a chunk made; `headBytes` of the part come once when parts are joined. */
export type ChunkResult = {
  part: BlobRef;
  headBytes: number;
  rows: number;
  skipped: number;
  errors: BlobRef | null;
  /** Form of an npy part, which is that of the joined one but for the rows. */
  npy?: { descr: string; shape: number[] };
};

/** A stored object of the results. */
export type StoredObject = BlobRef & { rows: number };

/** What a succeeded job made. `result` is null when the parts are too large to be joined. */
export type BatchResult = { manifest: BlobRef; result: StoredObject | null; errors: StoredObject | null };
