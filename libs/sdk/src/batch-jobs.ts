import type { JobState, WireError } from '@millrace/contracts';
import type { Page, PageQuery } from './shapes.ts';
import type { Transport } from './transport.ts';

/** Predictions to be made for whole files; see the documentation of `POST /v1/batch-jobs`. */
export type BatchJobRequest = {
  readonly model: string;
  readonly version?: string;
  readonly input:
    | { readonly datasetVersionId: string }
    | { readonly key: string }
    | { readonly prefix: string };
  readonly format?: 'csv' | 'jsonl' | 'npy' | 'parquet';
  readonly csv?: { readonly header?: boolean; readonly delimiter?: ',' | ';' | '\t' | '|' };
  readonly columns?: Readonly<Record<string, readonly string[]>>;
  readonly output?: { readonly format?: 'csv' | 'jsonl' | 'npy'; readonly names?: readonly string[] };
  readonly chunkRows?: number;
  readonly onRowError?: 'fail' | 'skip';
};

/** A batch job; totals are null until the whole input was read once. */
export type BatchJob = {
  readonly id: string;
  readonly state: JobState;
  readonly status: string;
  readonly model: string;
  readonly version: string;
  readonly format: string;
  readonly output: { readonly format: string; readonly names: readonly string[] | null };
  readonly rows: { readonly total: number | null; readonly done: number; readonly skipped: number };
  readonly chunks: { readonly total: number | null; readonly done: number };
  readonly error: WireError | null;
  readonly createdBy: string;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
};

/** A stored object of the results; `url` gives it for 15 minutes. */
export type BatchObject = { readonly url: string; readonly sha256: string; readonly sizeBytes: number };
export type BatchRows = BatchObject & { readonly rows: number };

/** What a job made: all rows in one object where they fit, and the parts page by page. */
export type BatchResults = Page<
  BatchRows & { index: number; firstRow: number; inputRows: number; skipped: number }
> & {
  readonly format: string;
  readonly manifest: BatchObject;
  readonly result: BatchRows | null;
  readonly errors: BatchRows | null;
};

/** Batch jobs. */
export function createBatchJobsClient({ call }: Transport) {
  const path = '/v1/batch-jobs';
  const one = (jobId: string) => `${path}/${encodeURIComponent(jobId)}`;
  return {
    /** With an idempotency key, a repeated submission gives the first job. */
    create: async (request: BatchJobRequest, { idempotencyKey }: { idempotencyKey?: string } = {}) =>
      await call<BatchJob>('POST', path, {
        body: request,
        ...(idempotencyKey !== undefined && { headers: { 'idempotency-key': idempotencyKey } }),
      }),
    list: async (query: PageQuery & { state?: JobState } = {}) =>
      await call<Page<BatchJob>>('GET', path, { query }),
    get: async (jobId: string) => await call<BatchJob>('GET', one(jobId)),
    cancel: async (jobId: string) => await call<BatchJob>('POST', `${one(jobId)}/cancel`),
    /** Throws `batch_not_finished` unless the job has succeeded. */
    results: async (jobId: string, query: PageQuery = {}) =>
      await call<BatchResults>('GET', `${one(jobId)}/results`, { query }),
  };
}
