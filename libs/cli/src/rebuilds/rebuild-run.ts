import { setTimeout as sleep } from 'node:timers/promises';
import type { ArtifactRef, JobResult, JobView, WorkerPool } from '@millrace/contracts';
import { AppError, isTerminal } from '@millrace/contracts';
import type { JobsClient } from '@millrace/sdk';
import type { Context } from '../command.ts';
import { trainedSource } from '../conversions/conversion-request.ts';
import { duration } from '../format.ts';
import { progressText } from '../job-progress.ts';
import type { BuildRecord, BuiltDigests } from './build-record.ts';

const POLL_MS = 400;
/** A job that is to be cancelled is told so within this time, also when the user has gone (ms). */
const CANCEL_TIMEOUT_MS = 10_000;

/** What a rebuild made. */
export type Rebuilt = {
  readonly trainingJobId: string;
  readonly conversionJobId: string;
  readonly digests: BuiltDigests;
  readonly trainingMeta: JobResult['meta'];
  readonly conversionMeta: JobResult['meta'];
};

/**
 * Trains and converts once more what a record describes; nothing is registered. When the user leaves or the time is
 * over, the job that runs is cancelled. Throws `deadline_exceeded`, `request_cancelled`, the error of a job that
 * failed, and `digest_mismatch` for a dataset that is no longer the same.
 */
export async function rebuild(
  context: Context,
  from: { record: BuildRecord; pool: WorkerPool | undefined; timeoutMs: number },
): Promise<Rebuilt> {
  const { record, pool } = from;
  const { training, conversions } = context.client;
  const run = createRun(context, from.timeoutMs);
  const { recipe, params, dataset } = record;
  const submitted = await training.create({
    recipe,
    params,
    ...(pool === undefined ? {} : { pool }),
    dataset: { versionId: dataset.versionId },
  });
  const trained = await run.finish('train', training, submitted, () =>
    assertDataset(submitted, dataset.digest),
  );
  const conversion = await conversions.create({
    source: trainedSource(submitted.id, trained.files),
    ...record.conversion,
  });
  const converted = await run.finish('convert', conversions, conversion);
  return {
    trainingJobId: submitted.id,
    conversionJobId: conversion.id,
    digests: {
      weights: String(trained.meta.weightsDigest),
      graph: String(trained.meta.frozenGraphDigest ?? trained.meta.architectureDigest),
      onnx: converted.files.find(isOnnx)?.sha256 ?? '',
    },
    trainingMeta: trained.meta,
    conversionMeta: converted.meta,
  };
}

/** The model among the files of a conversion. */
export const isOnnx = ({ path }: ArtifactRef): boolean => path.endsWith('.onnx');

function assertDataset({ spec }: JobView, digest: string): void {
  const { dataset } = spec as { dataset?: { digest?: string } };
  if (dataset?.digest === digest) return;
  throw new AppError(
    'digest_mismatch',
    'The dataset version is no longer the one that the provenance names; restore its bytes first.',
    { details: { expected: digest, actual: dataset?.digest } },
  );
}

function createRun(context: Context, timeoutMs: number) {
  const startedMs = performance.now();
  let last = '';

  function tell(step: string, { state, status, progress }: JobView): void {
    if (context.isJson) return;
    const isWorking = progress !== null && state === 'running';
    const text = `${duration(performance.now() - startedMs).padStart(9)}  ${step}  ${isWorking ? progressText(progress) : status}`;
    const line = `${step} ${state} ${isWorking ? `${progress.stage} ${progress.epoch ?? ''}` : ''}`;
    if (context.isTerminal) context.redraw(text);
    else if (line !== last) context.print(text);
    last = line;
  }

  /** Waits between two looks at a job. Throws when the user has gone or the time is over. */
  async function pause(): Promise<void> {
    await sleep(POLL_MS, undefined, { signal: context.signal }).catch(() => {
      throw new AppError('request_cancelled', 'Left; the rebuild was cancelled.');
    });
    if (performance.now() - startedMs <= timeoutMs) return;
    throw new AppError(
      'deadline_exceeded',
      `The rebuild took over ${duration(timeoutMs)} and was cancelled; give it longer with --timeout.`,
    );
  }

  async function wait(step: string, jobs: JobsClient, submitted: JobView): Promise<JobView> {
    let job = submitted;
    for (;;) {
      tell(step, job);
      if (isTerminal(job.state)) return job;
      await pause();
      job = await jobs.get(job.id);
    }
  }

  return {
    /** Waits for a job and gives its result; whatever ends the wait early also ends the job. */
    async finish(
      step: string,
      jobs: JobsClient,
      submitted: JobView,
      check: () => void = () => undefined,
    ): Promise<JobResult> {
      let job: JobView;
      try {
        check();
        job = await wait(step, jobs, submitted);
      } catch (error) {
        await cancel(jobs, submitted.id);
        throw error;
      } finally {
        if (context.isTerminal && !context.isJson) context.redraw('');
      }
      if (job.result !== null && job.state === 'succeeded') return job.result;
      const { code, message } = job.error ?? { code: 'job_cancelled', message: 'The job was cancelled.' };
      throw new AppError(code as AppError['code'], `Job ${job.id}: ${message}`);
    },
  };

  /** Best effort: the error that led here is the one to tell. */
  async function cancel(jobs: JobsClient, id: string): Promise<void> {
    const late = sleep(CANCEL_TIMEOUT_MS, undefined, { ref: false });
    await Promise.race([jobs.cancel(id), late]).catch(() =>
      context.note(`Job ${id} could not be cancelled; try: millrace jobs cancel ${id}`),
    );
  }
}
