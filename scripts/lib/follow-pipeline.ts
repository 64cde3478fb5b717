import { setTimeout as sleep } from 'node:timers/promises';
import { LaunchError } from '@millrace/embedded';
import type { Job, Pipeline, PublicApi } from './public-api.ts';
import type { Reporter } from './reporter.ts';

const POLL_MS = 200;
const BAR_WIDTH = 20;

/** Shows each stage of a pipeline as it goes and returns it at its end. Throws a LaunchError with the reason if it failed. */
export async function followPipeline(
  call: PublicApi,
  id: string,
  reporter: Reporter,
  signal: AbortSignal,
): Promise<Pipeline> {
  let since = performance.now();
  let stage: Pipeline['stage'] = 'dataset';
  for (;;) {
    const pipeline = await call<Pipeline>('GET', `/v1/pipelines/${id}`);
    if (pipeline.stage !== stage) {
      reporter.part(stage, performance.now() - since, outcome(stage, pipeline));
      since = performance.now();
      stage = pipeline.stage;
    }
    if (pipeline.state === 'succeeded') return pipeline;
    if (pipeline.state !== 'running') {
      const { code, message } = pipeline.error ?? { code: pipeline.state, message: 'no reason given' };
      throw new LaunchError(`stage ${pipeline.stage}`, `${message} (${code})`);
    }
    await showProgress(call, pipeline, reporter);
    await sleep(POLL_MS, undefined, { signal });
  }
}

function outcome(stage: Pipeline['stage'], pipeline: Pipeline): string {
  if (stage === 'dataset' && pipeline.dataset !== null) {
    return `${pipeline.dataset.isReused ? 'reused' : 'made'} ${pipeline.dataset.digest.slice(0, 12)}`;
  }
  return stage === 'register' && pipeline.modelVersion?.isReused === true
    ? 'same modelDigest: version reused'
    : '';
}

async function showProgress(call: PublicApi, pipeline: Pipeline, reporter: Reporter): Promise<void> {
  const job = await currentJob(call, pipeline);
  if (job?.progress === null || job?.progress === undefined) {
    reporter.progress(`${pipeline.stage}: ${job?.status ?? 'on its way'}`, pipeline.stage);
    return;
  }
  const { progress } = job;
  const { epoch, epochs, step, totalSteps, metrics } = progress;
  const share = totalSteps === 0 ? 0 : Math.min(1, step / totalSteps);
  const bar = '█'.repeat(Math.round(share * BAR_WIDTH)).padEnd(BAR_WIDTH, '░');
  const at = epoch === undefined || !epochs ? '' : ` epoch ${epoch}/${epochs}`;
  const numbers = Object.entries(metrics)
    .flatMap(([name, value]) => (value === null ? [] : [`${name} ${value.toFixed(3)}`]))
    .join(' ');
  reporter.progress(`${bar} ${progress.stage}${at} ${numbers}`.trimEnd(), `${progress.stage} ${epoch ?? ''}`);
}

/** The job that works for the present stage, if any. */
async function currentJob(call: PublicApi, pipeline: Pipeline): Promise<Job | undefined> {
  if (pipeline.stage === 'dataset') {
    const running = await call<{ items: Job[] }>('GET', '/v1/datasets/ingest-jobs?limit=1');
    return running.items[0];
  }
  if (pipeline.stage === 'train' && pipeline.trainingJobId !== null) {
    return call<Job>('GET', `/v1/training/jobs/${pipeline.trainingJobId}`);
  }
  if (pipeline.stage === 'convert' && pipeline.conversionJobId !== null) {
    return call<Job>('GET', `/v1/conversions/${pipeline.conversionJobId}`);
  }
  return undefined;
}
