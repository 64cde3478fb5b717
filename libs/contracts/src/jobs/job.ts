import type { Static } from 'typebox';
import Type from 'typebox';
import { ArtifactRef, JsonObject, Timestamp, Uuid, WireError } from '../primitives.ts';

export const JobKind = Type.Union([Type.Literal('train'), Type.Literal('convert'), Type.Literal('ingest')]);
export type JobKind = Static<typeof JobKind>;

/**
 * The pools of workers; a job waits in the queue of its pool. `cpu` and `gpu` train with TensorFlow, `torch` trains
 * with PyTorch, `analysis` reads data that others made.
 */
export const workerPools = ['cpu', 'gpu', 'torch', 'analysis'] as const;
export const WorkerPool = Type.Union([
  Type.Literal('cpu'),
  Type.Literal('gpu'),
  Type.Literal('torch'),
  Type.Literal('analysis'),
]);
export type WorkerPool = Static<typeof WorkerPool>;

export const JobState = Type.Union([
  Type.Literal('queued'),
  Type.Literal('running'),
  Type.Literal('cancelling'),
  Type.Literal('succeeded'),
  Type.Literal('failed'),
  Type.Literal('cancelled'),
]);
export type JobState = Static<typeof JobState>;

/** Which states may follow a state; an empty list marks a terminal state. */
export const jobTransitions: Readonly<Record<JobState, readonly JobState[]>> = {
  queued: ['running', 'cancelled', 'failed'],
  running: ['running', 'queued', 'cancelling', 'succeeded', 'failed'],
  cancelling: ['cancelled', 'succeeded', 'failed'],
  succeeded: [],
  failed: [],
  cancelled: [],
};

export function isTerminal(state: JobState): boolean {
  return jobTransitions[state].length === 0;
}

/** Latest progress of a job as its worker told it. */
export const JobProgress = Type.Object({
  stage: Type.String({ maxLength: 64 }),
  step: Type.Integer({ minimum: 0 }),
  totalSteps: Type.Integer({ minimum: 0 }),
  epoch: Type.Optional(Type.Integer({ minimum: 0 })),
  epochs: Type.Optional(Type.Integer({ minimum: 0 })),
  metrics: Type.Record(Type.String(), Type.Union([Type.Number(), Type.Null()])),
});
export type JobProgress = Static<typeof JobProgress>;

/** What a succeeded job made: its files and what the worker measured. */
export const JobResult = Type.Object({ files: Type.Array(ArtifactRef), meta: JsonObject });
export type JobResult = Static<typeof JobResult>;

/** A job as every job-owning service shows it. */
export const JobView = Type.Object({
  id: Uuid,
  kind: JobKind,
  pool: WorkerPool,
  state: JobState,
  /** Why a queued job waits or what a running one does, as a sentence. */
  status: Type.String(),
  spec: JsonObject,
  attempt: Type.Integer({ minimum: 0 }),
  maxAttempts: Type.Integer({ minimum: 1 }),
  fence: Type.Integer({ minimum: 0 }),
  workerId: Type.Union([Type.String(), Type.Null()]),
  progress: Type.Union([JobProgress, Type.Null()]),
  result: Type.Union([JobResult, Type.Null()]),
  error: Type.Union([WireError, Type.Null()]),
  createdAt: Timestamp,
  startedAt: Type.Union([Timestamp, Type.Null()]),
  finishedAt: Type.Union([Timestamp, Type.Null()]),
});
export type JobView = Static<typeof JobView>;
