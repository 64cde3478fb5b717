import Type from 'typebox';
import { JobKind, JobResult, WorkerPool } from '../jobs/job.ts';
import { JsonObject, Uuid, WireError } from '../primitives.ts';
import { defineEvent } from './define-event.ts';

const created = Type.Object({ jobId: Uuid, kind: JobKind, pool: WorkerPool, spec: JsonObject });
const started = Type.Object({
  jobId: Uuid,
  kind: JobKind,
  attempt: Type.Integer(),
  fence: Type.Integer(),
  workerId: Type.String(),
  spec: Type.Optional(JsonObject),
});
const succeeded = Type.Object({
  jobId: Uuid,
  kind: JobKind,
  attempt: Type.Integer(),
  fence: Type.Integer(),
  spec: JsonObject,
  result: JobResult,
});
const failed = Type.Object({
  jobId: Uuid,
  kind: JobKind,
  attempt: Type.Integer(),
  spec: JsonObject,
  error: WireError,
});
const verificationFailed = Type.Object({
  jobId: Uuid,
  kind: JobKind,
  attempt: Type.Integer(),
  workerId: Type.Union([Type.String(), Type.Null()]),
  spec: JsonObject,
  error: WireError,
});
const cancelled = Type.Object({ jobId: Uuid, kind: JobKind, spec: JsonObject });
const retryRequested = Type.Object({ jobId: Uuid });

const facts = <const A extends string>(aggregate: A, what: string) => ({
  created: defineEvent({
    name: `${aggregate}.created`,
    doc: `A ${what} was accepted and queued.`,
    data: created,
  }),
  started: defineEvent({ name: `${aggregate}.started`, doc: `A worker claimed a ${what}.`, data: started }),
  succeeded: defineEvent({
    name: `${aggregate}.succeeded`,
    doc: `A ${what} ended with a result.`,
    data: succeeded,
  }),
  failed: defineEvent({
    name: `${aggregate}.failed`,
    doc: `A ${what} ended without a result.`,
    data: failed,
  }),
  verificationFailed: defineEvent({
    name: `${aggregate}.verification-failed`,
    doc: `The worker of one ${what} refused bytes that do not have their digest or signature, or are gone.`,
    data: verificationFailed,
  }),
  cancelled: defineEvent({
    name: `${aggregate}.cancelled`,
    doc: `A ${what} was cancelled.`,
    data: cancelled,
  }),
  retryRequested: defineEvent({
    name: `${aggregate}.retry-requested`,
    doc: `Somebody sent a failed ${what} back from the dead letters; a new job with the same spec follows.`,
    data: retryRequested,
  }),
});

/** Facts of training jobs. */
export const TrainingJobEvents = facts('training-job', 'training job');
/** Facts of conversion jobs. */
export const ConversionJobEvents = facts('conversion-job', 'conversion job');
/** Facts of ingestion jobs. */
export const IngestJobEvents = facts('ingest-job', 'ingestion job');
export type JobEvents = typeof TrainingJobEvents | typeof ConversionJobEvents | typeof IngestJobEvents;
