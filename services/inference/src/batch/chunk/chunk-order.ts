import type { ColumnMapping, OutputFormat } from '../batch-request.ts';
import type { SourceHead } from '../batch-spec.ts';

/** A chunk for a front: files are of this machine, and only processes of one server name them to each other. */
export type ChunkOrder = {
  modelVersionId: string;
  /** The bytes of the version that the job was made for. */
  packageDigest: string;
  inputPath: string;
  partPath: string;
  errorsPath: string;
  format: 'csv' | 'jsonl' | 'npy';
  delimiter: string;
  head: SourceHead;
  columns: ColumnMapping | null;
  output: { format: OutputFormat; names: string[] | null };
  onRowError: 'fail' | 'skip';
  /** Number of the first row, from 1. */
  firstRow: number;
  rows: number;
};

/** What became of it; `headBytes` of the part come once when parts are joined. */
export type ChunkReport = {
  rows: number;
  skipped: number;
  headBytes: number;
  npy?: { descr: string; shape: number[] };
};

/** Runs a chunk. Throws the error of the first bad row, and what loading and running a model throw. */
export type RunChunk = (order: ChunkOrder) => Promise<ChunkReport>;
