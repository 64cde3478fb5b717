import { JobState, Sha256, Timestamp, Uuid, WireError } from '@millrace/contracts';
import type { Static } from 'typebox';
import Type from 'typebox';
import type { BatchJobRow } from './batch.table.ts';
import { InputFormat, OutputFormat } from './batch-request.ts';
import type { BatchSpec } from './batch-spec.ts';

const count = Type.Integer({ minimum: 0 });

/** A batch job as it is shown. */
export const BatchJobView = Type.Object({
  id: Uuid,
  state: JobState,
  status: Type.String({ description: 'What the job does or how it ended, as a sentence.' }),
  model: Type.String(),
  version: Type.String({ description: 'The label that was resolved when the job was created.' }),
  modelVersionId: Uuid,
  packageDigest: Sha256,
  input: Type.Unknown(),
  format: InputFormat,
  output: Type.Object({ format: OutputFormat, names: Type.Union([Type.Array(Type.String()), Type.Null()]) }),
  chunkRows: count,
  onRowError: Type.Union([Type.Literal('fail'), Type.Literal('skip')]),
  rows: Type.Object({
    total: Type.Union([count, Type.Null()], { description: 'Null until the whole input was read once.' }),
    done: Type.Integer({ minimum: 0, description: 'Rows with a result.' }),
    skipped: count,
  }),
  chunks: Type.Object({ total: Type.Union([count, Type.Null()]), done: count }),
  error: Type.Union([WireError, Type.Null()]),
  createdBy: Type.String(),
  createdAt: Timestamp,
  startedAt: Type.Union([Timestamp, Type.Null()]),
  finishedAt: Type.Union([Timestamp, Type.Null()]),
});
export type BatchJobView = Static<typeof BatchJobView>;

const StoredObject = Type.Object({
  sha256: Sha256,
  sizeBytes: count,
  url: Type.String({ description: 'Gives the object to whoever has it, for 15 minutes.' }),
});
const Rows = Type.Object({ ...StoredObject.properties, rows: count });

/** One stored part of the results. */
export const BatchPart = Type.Object({
  ...Rows.properties,
  index: count,
  firstRow: Type.Integer({ minimum: 1, description: 'Number of its first row of the input.' }),
  inputRows: count,
  skipped: count,
});

/** The results of a job that succeeded. */
export const BatchResults = Type.Object({
  format: OutputFormat,
  manifest: StoredObject,
  result: Type.Union([Rows, Type.Null()], {
    description: 'All rows in one object; null when the parts are too large to be joined.',
  }),
  errors: Type.Union([Rows, Type.Null()], { description: 'Rows that were left out, as JSON lines.' }),
  items: Type.Array(BatchPart),
  nextCursor: Type.Union([Type.String(), Type.Null()]),
});
export type BatchResults = Static<typeof BatchResults>;

/** A job without its sources, which only its plan needs. */
export type ListedBatchJob = Omit<BatchJobRow, 'sources' | 'heads'>;

function statusOf(job: ListedBatchJob): string {
  const { state, isPlanned, chunksDone, chunksPlanned, rowsDone, rowsSkipped } = job;
  const left = rowsSkipped === 0 ? '' : `; ${rowsSkipped} were left out`;
  switch (state) {
    case 'queued':
      return 'Waits for a server that is free.';
    case 'running':
      if (!isPlanned) return `Reads the input: ${job.rowsPlanned} rows so far, ${rowsDone} predicted.`;
      if (chunksDone === chunksPlanned) return 'Puts the parts together.';
      return `Predicted ${chunksDone} of ${chunksPlanned} chunks.`;
    case 'succeeded':
      return `Predicted ${rowsDone} rows${left}.`;
    default:
      return job.error?.message ?? `The job ${state}.`;
  }
}

export function toBatchJobView(job: ListedBatchJob): BatchJobView {
  const spec: BatchSpec = job.spec;
  return {
    id: job.id,
    state: job.state,
    status: statusOf(job),
    model: spec.model,
    version: spec.version,
    modelVersionId: spec.modelVersionId,
    packageDigest: spec.packageDigest,
    input: spec.input,
    format: spec.format,
    output: spec.output,
    chunkRows: spec.chunkRows,
    onRowError: spec.onRowError,
    rows: {
      total: job.isPlanned ? job.rowsPlanned : null,
      done: job.rowsDone,
      skipped: job.rowsSkipped,
    },
    chunks: { total: job.isPlanned ? job.chunksPlanned : null, done: job.chunksDone },
    error: job.error,
    createdBy: job.createdBy,
    createdAt: job.createdAt.toISOString(),
    startedAt: job.startedAt?.toISOString() ?? null,
    finishedAt: job.finishedAt?.toISOString() ?? null,
  };
}
