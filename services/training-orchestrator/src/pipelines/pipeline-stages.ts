import type {
  ConversionJobEvents,
  DatasetVersionReady,
  EventData,
  JobResult,
  ModelVersionLoaded,
  ModelVersionRegistered,
  WireError,
} from '@millrace/contracts';
import {
  PipelineConversionRequested,
  PipelineRegistrationRequested,
  PipelineSucceeded,
} from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import type { JobRow } from '@millrace/jobs';
import type { PipelineStage } from './pipeline.table.ts';
import type { PipelineMoves, PipelineServiceOptions } from './pipeline-moves.ts';
import { withSamples } from './pipeline-quantization.ts';
import { conversionSource, digestIn, graphDigests, packageFiles } from './trained-files.ts';

/** What each event does: it moves a pipeline one stage on; events that come late or twice change nothing. */
export function createPipelineStages(options: PipelineServiceOptions, { fail, train }: PipelineMoves) {
  const { pipelines, outbox } = options;

  return {
    async onDatasetReady(tx: Executor, data: EventData<typeof DatasetVersionReady>): Promise<void> {
      if (data.requestId === undefined) return;
      const row = await pipelines.lockAt(tx, data.requestId, ['dataset']);
      if (row === undefined) return;
      const { datasetId, versionId, digest, files } = data;
      await train(tx, row, { datasetId, versionId, digest, files }, data.isReused);
    },

    /** Hook of the training job, in the transaction that completes it. */
    async onTrained(tx: Executor, job: JobRow, result: JobResult): Promise<void> {
      const row = await pipelines.findByTrainingJob(tx, job.id);
      if (row === undefined || row.state !== 'running') return;
      await outbox.append(
        tx,
        PipelineConversionRequested,
        row.id,
        {
          pipelineId: row.id,
          spec: {
            requestId: row.id,
            source: { trainingJobId: job.id, ...conversionSource(result.files) },
            format: 'onnx',
            opset: row.request.opset,
            tag: 'serve',
            signature: 'serving_default',
            tolerance: row.request.tolerance,
            ...(row.request.quantization === undefined
              ? {}
              : { quantization: withSamples(row.request.quantization, row.dataset) }),
          },
        },
        { tenant: row.tenant },
      );
      await pipelines.advance(tx, row, 'convert');
    },

    async onTrainingEnded(tx: Executor, job: JobRow, error: WireError): Promise<void> {
      const row = await pipelines.findByTrainingJob(tx, job.id);
      if (row !== undefined) await fail(tx, row.id, error);
    },

    async onConversionCreated(
      tx: Executor,
      data: EventData<typeof ConversionJobEvents.created>,
    ): Promise<void> {
      const id = requestIdOf(data.spec);
      if (id !== undefined) await pipelines.update(tx, id, { conversionJobId: data.jobId });
    },

    async onConverted(tx: Executor, data: EventData<typeof ConversionJobEvents.succeeded>): Promise<void> {
      const id = requestIdOf(data.spec);
      const row = id === undefined ? undefined : await pipelines.lockAt(tx, id, ['convert']);
      if (row === undefined || row.trainingJobId === null || row.dataset === null) return;
      const training = await options.jobs().repository.find(tx, row.trainingJobId);
      if (training?.result === null || training?.result === undefined) {
        return fail(tx, row.id, {
          code: 'internal',
          message: 'The training job of this pipeline has no result.',
        });
      }
      const { datasetId, versionId, digest } = row.dataset;
      await outbox.append(
        tx,
        PipelineRegistrationRequested,
        row.id,
        {
          pipelineId: row.id,
          model: row.request.model,
          ...(row.createdBy === null ? {} : { by: row.createdBy }),
          ...(row.request.version === undefined ? {} : { version: row.request.version }),
          framework: 'onnx',
          files: packageFiles([...training.result.files, ...data.result.files]),
          weightsDigest: digestIn(training.result.meta, 'weightsDigest'),
          graphDigests: graphDigests(training.result.meta, data.result.files),
          trainingJobId: row.trainingJobId,
          conversionJobId: data.jobId,
          dataset: { datasetId, versionId, digest },
          recipe: row.request.recipe,
          params: row.request.params,
          trainingMeta: training.result.meta,
          conversionMeta: data.result.meta,
        },
        { tenant: row.tenant },
      );
      await pipelines.advance(tx, row, 'register', { conversionJobId: data.jobId });
    },

    async onConversionEnded(
      tx: Executor,
      data: { spec: Record<string, unknown>; error: WireError },
    ): Promise<void> {
      const id = requestIdOf(data.spec);
      const row = id === undefined ? undefined : await pipelines.lockAt(tx, id, ['convert']);
      if (row !== undefined) await fail(tx, row.id, data.error);
    },

    async onRegistered(tx: Executor, data: EventData<typeof ModelVersionRegistered>): Promise<void> {
      if (data.requestId === undefined) return;
      const row = await pipelines.lockAt(tx, data.requestId, ['register']);
      if (row === undefined) return;
      await pipelines.advance(tx, row, 'load', {
        modelVersionId: data.modelVersionId,
        modelVersion: data.version,
        modelVersionOrdinal: data.ordinal,
        isVersionReused: data.isReused,
      });
    },

    async onLoaded(tx: Executor, data: EventData<typeof ModelVersionLoaded>): Promise<void> {
      if (data.requestId === undefined) return;
      const row = await pipelines.lockAt(tx, data.requestId, ['register', 'load']);
      if (row === undefined) return;
      const done = await pipelines.advance(tx, row, 'done', {
        modelVersionId: data.modelVersionId,
        modelVersion: data.version,
        modelVersionOrdinal: data.ordinal,
      });
      await outbox.append(
        tx,
        PipelineSucceeded,
        row.id,
        {
          pipelineId: row.id,
          modelVersionId: data.modelVersionId,
          model: data.model,
          version: data.version,
          isReused: done.isVersionReused,
        },
        { tenant: row.tenant },
      );
    },

    /** A refusal of the dataset, the registration or the load ends the pipeline with that error. */
    async onRefused(
      tx: Executor,
      id: string | undefined,
      stages: readonly PipelineStage[],
      error: WireError,
    ): Promise<void> {
      const row = id === undefined ? undefined : await pipelines.lockAt(tx, id, stages);
      if (row !== undefined) await fail(tx, row.id, error);
    },
  };
}

function requestIdOf(spec: Record<string, unknown>): string | undefined {
  return typeof spec.requestId === 'string' ? spec.requestId : undefined;
}
