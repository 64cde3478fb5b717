import type { Static } from 'typebox';
import Type from 'typebox';
import { JsonObject, Sha256, Timestamp, Uuid, WireError } from '../primitives.ts';
import { JobKind, JobProgress, JobResult, WorkerPool } from './job.ts';

/** The message on `millrace.job.<kind>.<pool>`: only a pointer, the truth is in the owner's database. */
export const JobMessage = Type.Object({
  jobId: Uuid,
  kind: JobKind,
  pool: WorkerPool,
  service: Type.String(),
});
export type JobMessage = Static<typeof JobMessage>;

/** One file of a checkpoint: `key` is its full S3 key under the attempt's own prefix. */
export const CheckpointFile = Type.Object({
  path: Type.String({ minLength: 1, maxLength: 512 }),
  key: Type.String({ minLength: 1, maxLength: 1024 }),
  sha256: Sha256,
  sizeBytes: Type.Integer({ minimum: 0 }),
});
export const Checkpoint = Type.Object({
  step: Type.Integer({ minimum: 0 }),
  fence: Type.Integer({ minimum: 0 }),
  files: Type.Array(CheckpointFile, { minItems: 1, maxItems: 256 }),
});
export type Checkpoint = Static<typeof Checkpoint>;

/** What a worker gets to do, with the fencing token that every later call must carry. */
export const ClaimedJob = Type.Object({
  jobId: Uuid,
  kind: JobKind,
  fence: Type.Integer({ minimum: 1 }),
  attempt: Type.Integer({ minimum: 1 }),
  spec: JsonObject,
  lastCheckpoint: Type.Union([Checkpoint, Type.Null()]),
  leaseMs: Type.Integer({ minimum: 1 }),
  heartbeatMs: Type.Integer({ minimum: 1 }),
  stallTimeoutMs: Type.Integer({ minimum: 1 }),
  checkpointPrefix: Type.String(),
});
export type ClaimedJob = Static<typeof ClaimedJob>;

const fenced = { jobId: Uuid, fence: Type.Integer({ minimum: 1 }) };

export const ClaimRequest = Type.Object({
  jobId: Uuid,
  workerId: Type.String({ minLength: 1, maxLength: 128 }),
});
export const ClaimReply = Type.Object({
  outcome: Type.Union([Type.Literal('claimed'), Type.Literal('terminal'), Type.Literal('leased')]),
  job: Type.Optional(ClaimedJob),
  retryAfterMs: Type.Optional(Type.Integer({ minimum: 0 })),
});
export type ClaimReply = Static<typeof ClaimReply>;

export const RenewRequest = Type.Object({
  ...fenced,
  step: Type.Integer({ minimum: 0 }),
  progress: Type.Optional(JobProgress),
});
export const CheckpointRequest = Type.Object({
  ...fenced,
  step: Type.Integer({ minimum: 0 }),
  files: Checkpoint.properties.files,
});
export const CompleteRequest = Type.Object({ ...fenced, result: JobResult });
export const FailRequest = Type.Object({ ...fenced, error: WireError });
/** `cancelled` and `release` carry only the fence. */
export const FenceRequest = Type.Object(fenced);

/** Answer to every fenced call: go on, stop because another attempt owns the job, or stop because of a cancel. */
export const FenceReply = Type.Object({
  outcome: Type.Union([Type.Literal('ok'), Type.Literal('fenced'), Type.Literal('cancel')]),
});
export type FenceReply = Static<typeof FenceReply>;

export const AnnounceRequest = Type.Object({
  workerId: Type.String({ minLength: 1, maxLength: 128 }),
  pool: WorkerPool,
  kinds: Type.Array(JobKind, { minItems: 1, maxItems: 8 }),
  devices: Type.Array(Type.String({ maxLength: 128 }), { maxItems: 64 }),
  environmentDigest: Sha256,
  version: Type.String({ maxLength: 64 }),
  host: Type.String({ maxLength: 255 }),
});
export const AnnounceReply = Type.Object({ ok: Type.Literal(true) });

/** Progress or a log line of a running job, on `millrace.tel.<kind>.<jobId>`; may be lost, never decides anything. */
export const JobTelemetry = Type.Object({
  jobId: Uuid,
  fence: Type.Integer({ minimum: 1 }),
  type: Type.Union([Type.Literal('progress'), Type.Literal('log')]),
  time: Timestamp,
  progress: Type.Optional(JobProgress),
  level: Type.Optional(Type.String({ maxLength: 16 })),
  message: Type.Optional(Type.String({ maxLength: 8192 })),
});
export type JobTelemetry = Static<typeof JobTelemetry>;

/** The request/reply methods every job-owning service answers on `millrace.rpc.<service>.<method>`. */
export const workerMethods = {
  claim: { request: ClaimRequest, reply: ClaimReply },
  renew: { request: RenewRequest, reply: FenceReply },
  checkpoint: { request: CheckpointRequest, reply: FenceReply },
  complete: { request: CompleteRequest, reply: FenceReply },
  fail: { request: FailRequest, reply: FenceReply },
  cancelled: { request: FenceRequest, reply: FenceReply },
  release: { request: FenceRequest, reply: FenceReply },
  announce: { request: AnnounceRequest, reply: AnnounceReply },
} as const;
export type WorkerMethod = keyof typeof workerMethods;
