import type { ConsumerDeps, Pull } from '@millrace/bus';
import { startConsumer } from '@millrace/bus';
import {
  ConversionJobEvents,
  DatasetVersionFailed,
  DatasetVersionReady,
  ModelVersionLoaded,
  ModelVersionLoadFailed,
  ModelVersionRegistered,
  ModelVersionRejected,
} from '@millrace/contracts';
import type { PipelineService } from './pipeline.service.ts';

const DURABLE = 'training-orchestrator';

/** Every event that moves a pipeline, each with its durable. */
export function startPipelineConsumers(deps: ConsumerDeps & { pipelines: PipelineService }): Pull[] {
  const { pipelines } = deps;
  return [
    startConsumer(deps, {
      event: DatasetVersionReady,
      durable: `${DURABLE}-dataset-version-ready`,
      apply: (tx, data) => pipelines.onDatasetReady(tx, data),
    }),
    startConsumer(deps, {
      event: DatasetVersionFailed,
      durable: `${DURABLE}-dataset-version-failed`,
      apply: (tx, data) => pipelines.onRefused(tx, data.requestId, ['dataset'], data.error),
    }),
    startConsumer(deps, {
      event: ConversionJobEvents.created,
      durable: `${DURABLE}-conversion-job-created`,
      apply: (tx, data) => pipelines.onConversionCreated(tx, data),
    }),
    startConsumer(deps, {
      event: ConversionJobEvents.succeeded,
      durable: `${DURABLE}-conversion-job-succeeded`,
      apply: (tx, data) => pipelines.onConverted(tx, data),
    }),
    startConsumer(deps, {
      event: ConversionJobEvents.failed,
      durable: `${DURABLE}-conversion-job-failed`,
      apply: (tx, data) => pipelines.onConversionEnded(tx, data),
    }),
    startConsumer(deps, {
      event: ConversionJobEvents.cancelled,
      durable: `${DURABLE}-conversion-job-cancelled`,
      apply: (tx, data) =>
        pipelines.onConversionEnded(tx, {
          spec: data.spec,
          error: { code: 'job_cancelled', message: 'The conversion was cancelled.' },
        }),
    }),
    startConsumer(deps, {
      event: ModelVersionRegistered,
      durable: `${DURABLE}-model-version-registered`,
      apply: (tx, data) => pipelines.onRegistered(tx, data),
    }),
    startConsumer(deps, {
      event: ModelVersionRejected,
      durable: `${DURABLE}-model-version-rejected`,
      apply: (tx, data) => pipelines.onRefused(tx, data.requestId, ['register', 'load'], data.error),
    }),
    startConsumer(deps, {
      event: ModelVersionLoaded,
      durable: `${DURABLE}-model-version-loaded`,
      apply: (tx, data) => pipelines.onLoaded(tx, data),
    }),
    startConsumer(deps, {
      event: ModelVersionLoadFailed,
      durable: `${DURABLE}-model-version-load-failed`,
      apply: (tx, data) => pipelines.onRefused(tx, data.requestId, ['register', 'load'], data.error),
    }),
  ];
}
