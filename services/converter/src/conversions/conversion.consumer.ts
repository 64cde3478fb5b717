import type { ConsumerDeps, Pull } from '@millrace/bus';
import { ownerOf, startConsumer } from '@millrace/bus';
import {
  isTerminal,
  ModelImportAbandoned,
  ModelImportConversionRequested,
  PipelineCancelled,
  PipelineConversionRequested,
} from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import type { JobRow, JobService } from '@millrace/jobs';

export type ConversionConsumerDeps = ConsumerDeps & {
  jobs: JobService;
  /** Tells the worker of a running job at once that it is to stop; only a hint. */
  hintCancel: (jobId: string) => void;
};

/** Queues what pipelines and imports ask to be converted, once each, and stops what nobody waits for any more. */
export function startConversionConsumers(deps: ConversionConsumerDeps): { stop(): Promise<void> } {
  const pulls: Pull[] = [
    startRequests(deps),
    startImports(deps),
    startCancellations(deps),
    startAbandonments(deps),
  ];
  return {
    async stop() {
      await Promise.all(pulls.map((pull) => pull.stop()));
    },
  };
}

function pipelineKey(pipelineId: string): string {
  return `pipeline:${pipelineId}`;
}

function importKey(importId: string): string {
  return `import:${importId}`;
}

function jobOfPipeline(
  tx: Executor,
  jobs: JobService,
  tenant: string,
  pipelineId: string,
): Promise<JobRow | undefined> {
  return jobs.repository.findByIdempotencyKey(tx, tenant, pipelineKey(pipelineId));
}

function startRequests(deps: ConversionConsumerDeps): Pull {
  const { jobs } = deps;
  return startConsumer(deps, {
    event: PipelineConversionRequested,
    durable: 'converter-pipeline-conversion-requested',
    apply: async (tx, data, _prepared, { messageId, ...info }) => {
      const tenant = ownerOf(info);
      const spec = { ...data.spec, requestId: data.pipelineId };
      const before = await jobOfPipeline(tx, jobs, tenant, data.pipelineId);
      if (before !== undefined && !isTerminal(before.state)) return;
      // a pipeline that asks again after its conversion ended wants another one
      const key = pipelineKey(data.pipelineId);
      await jobs.create(tx, {
        spec,
        pool: 'cpu',
        tenant,
        idempotencyKey: before === undefined ? key : `${key}:${messageId}`,
      });
    },
  });
}

function startImports(deps: ConversionConsumerDeps): Pull {
  return startConsumer(deps, {
    event: ModelImportConversionRequested,
    durable: 'converter-model-import-conversion-requested',
    apply: async (tx, { importId, tenant, spec }) => {
      const idempotencyKey = importKey(importId);
      if ((await deps.jobs.repository.findByIdempotencyKey(tx, tenant, idempotencyKey)) !== undefined) return;
      await deps.jobs.create(tx, {
        spec: { ...spec, requestId: importId },
        pool: 'cpu',
        tenant,
        idempotencyKey,
      });
    },
  });
}

function startCancellations(deps: ConversionConsumerDeps): Pull {
  const { jobs } = deps;
  return startConsumer(deps, {
    event: PipelineCancelled,
    durable: 'converter-pipeline-cancelled',
    apply: async (tx, data, _prepared, info) =>
      stopJob(tx, deps, await jobOfPipeline(tx, jobs, ownerOf(info), data.pipelineId)),
  });
}

/** A job that is not there yet is asked about again: the registry says so when it hears of the job. */
function startAbandonments(deps: ConversionConsumerDeps): Pull {
  return startConsumer(deps, {
    event: ModelImportAbandoned,
    durable: 'converter-model-import-abandoned',
    apply: async (tx, { importId, tenant }) =>
      stopJob(tx, deps, await deps.jobs.repository.findByIdempotencyKey(tx, tenant, importKey(importId))),
  });
}

async function stopJob(
  tx: Executor,
  { jobs, hintCancel }: ConversionConsumerDeps,
  job: JobRow | undefined,
): Promise<void> {
  if (job === undefined || isTerminal(job.state)) return;
  const cancelled = await jobs.cancelIn(tx, job.id);
  if (cancelled.state === 'cancelling') hintCancel(job.id);
}
